"""Honest benchmarks: runs, statistics and tables."""
