"""Benchmark runs: protocols, cells, the results folder and provenance."""
