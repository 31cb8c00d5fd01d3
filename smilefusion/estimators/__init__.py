"""Scikit-learn estimators that train through skorch."""
