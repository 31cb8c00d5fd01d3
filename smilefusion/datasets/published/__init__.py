"""Published data sets: their files and their folds."""
