"""Robust scaling of the columns of a table."""

import numpy as np

LIMIT = 3.0  # scaled values are between -LIMIT and LIMIT


def learn_centre_and_scale(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted median and interquartile range of each column, without NaN."""
    # The scale is half the range if the quartiles are equal, and 1 if the column is constant.
    X, weight = X[weight > 0], weight[weight > 0]
    order = np.argsort(X, axis=0)  # NaN comes last
    values = np.take_along_axis(X, order, axis=0)
    mass = np.cumsum(np.where(np.isnan(values), 0.0, weight[order]), axis=0)
    rows = [(mass < share * mass[-1]).sum(axis=0) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    found = np.take_along_axis(values, np.array(rows), axis=0)
    lowest, lower, centre, upper, highest = np.nan_to_num(found, nan=0.0)
    scale = np.where(upper > lower, upper - lower, (highest - lowest) / 2)
    return centre, np.where(scale > 0, scale, 1.0)


def scale_robustly(X: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Scale columns, limit outliers, and replace NaN by the median."""
    z = np.nan_to_num((X - centre) / scale, nan=0.0)
    return z / np.hypot(1.0, z / LIMIT)  # the square of a large z would overflow
