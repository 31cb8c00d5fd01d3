"""Handcrafted D-Markers: amplitude signals, phases and their descriptors."""
