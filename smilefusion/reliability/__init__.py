"""Abstention, and checks of clips against the training clips."""
