"""Torch modules: fusion strategies and encoders."""
