"""Simulated clips of smiles, and stand-ins for published data sets."""
