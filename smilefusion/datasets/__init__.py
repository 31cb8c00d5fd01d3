"""Simulated smiles and readers of labelled clips."""
