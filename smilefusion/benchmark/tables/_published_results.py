"""Tables of published accuracies."""

import re
from typing import Any

import pandas as pd

from smilefusion.benchmark.stats._protocol_labels import (
    BEST_OF_EPOCHS,
    OTHER_PUBLICATION,
    protocol_label,
    with_protocol,
)

DATASETS = ("uva_nemo", "mmi", "spos", "bbc")
# Accuracies in per cent, None if not published. Source of both tables: the preprint of
# HadaSmileNet, "D-FuseSmileNet", whose main results are those of the ICDM 2025 paper.
_METHODS = {
    "Cohn & Schmidt 2004 (re-implemented)": (77.3, 81.0, 73.0, 75.0),
    "Dibeklioglu 2010": (71.1, 74.0, 68.0, 85.0),
    "Pfister 2011": (73.1, 81.0, 67.5, 70.0),
    "Wu 2014": (91.4, 86.1, 79.5, 90.0),
    "Dibeklioglu 2015": (89.8, 88.1, 77.5, 90.0),
    "Mandal 2016": (78.1, None, None, None),
    "Mandal 2017": (80.4, None, None, None),
    "Wu 2017": (93.9, 92.2, 81.2, 90.0),
    "RealSmileNet 2020": (82.1, 92.0, 86.2, 90.0),
    "PSTNet 2022": (72.9, 94.3, 87.1, 95.0),
    "Vanilla ViT": (78.4, 99.0, 93.5, 95.0),
    "P4Transformer": (74.9, 91.3, 82.9, 85.0),
    "MeshSmileNet 2022": (85.0, 99.0, 94.4, 95.0),
    "DeepMarkerNet 2024": (87.9, 99.7, 97.8, 95.0),
    "HadaSmileNet 2025": (88.7, 99.7, 98.5, 100.0),
}
_FUSIONS = {
    "concat": (87.9, 99.7, 97.2, 95.0),
    "gated_concat": (87.9, 94.7, 93.0, 95.0),
    "additive": (81.4, 89.7, 92.0, 85.0),
    "hadamard": (88.7, 99.7, 98.5, 100.0),
    "hadamard_gated_concat": (87.9, 99.7, 93.4, 100.0),
    "attention": (87.1, 89.4, 91.6, 90.0),
    "multihead_attention": (85.4, 91.7, 90.4, 85.0),
    "cross_attention": (83.8, 92.3, 85.7, 90.0),
    "multihead_cross_attention": (85.4, 92.1, 86.2, 85.0),
    "film": (83.8, 94.7, 92.8, 90.0),
    "film_hadamard": (87.1, 92.1, 97.8, 95.0),
    "bilinear": (83.8, 95.6, 92.8, 95.0),
    "bilinear_hadamard": (87.1, 93.1, 96.7, 100.0),
    "factorized_bilinear": (83.8, 93.3, 97.7, 95.0),
    "factorized_bilinear_hadamard": (85.4, 94.7, 95.4, 100.0),
}
_OF_BEST_EPOCH = {"HadaSmileNet 2025", *_FUSIONS}
_TABLES: dict[str, tuple[str, dict]] = {
    "methods": ("method", _METHODS),
    "fusions": ("fusion", _FUSIONS),
}


def published_results(table: str = "methods") -> pd.DataFrame:
    """Return the published accuracies of methods or of fusion strategies.

    They are not a fair benchmark: the accuracies of HadaSmileNet and its fusion strategies are
    the best of 300 epochs on the test fold, which is most optimistic for small data sets.

    Parameters
    ----------
    table : {"methods", "fusions"}, default="methods"
        Methods from the literature by name and year, or the 15 strategies by key.

    Returns
    -------
    results : pandas.DataFrame
        One row per method or fusion (the index) in the published order, one column per data
        set, ``uva_nemo, mmi, spos, bbc``: accuracy in per cent, NaN if not published.

    Raises
    ------
    ValueError
        If `table` is unknown.

    Notes
    -----
    `attention` and `cross_attention` are the same function in the published code, yet their
    accuracies differ by 3 to 6 points. This is noise of the published protocol.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550; the numbers
    are from its preprint.

    Examples
    --------
    >>> from smilefusion.benchmark import published_results
    >>> published_results("fusions").loc["hadamard", "uva_nemo"]
    np.float64(88.7)
    """
    if table not in _TABLES:
        raise ValueError(f"table must be one of {', '.join(_TABLES)}; got {table!r}.")
    name, rows = _TABLES[table]
    results = pd.DataFrame.from_dict(rows, orient="index", columns=list(DATASETS), dtype=float)
    return results.rename_axis(name)


def join_published(summary: pd.DataFrame, *, table: str = "methods") -> pd.DataFrame:
    """Combine your own accuracies with the published ones.

    Parameters
    ----------
    summary : pandas.DataFrame
        Result of `summarize`.
    table : {"methods", "fusions"}, default="methods"
        The published table, see `published_results`.

    Returns
    -------
    joined : pandas.DataFrame
        The published rows, then one row per protocol and estimator of the summary, with the
        columns ``method`` or ``fusion`` (the name), ``source`` (origin and protocol of the
        numbers) and one per data set: accuracy in per cent, NaN if unknown. Data sets are
        matched by name regardless of case and punctuation ("UvA-NEMO" is ``uva_nemo``); others
        have separate columns.

    Raises
    ------
    ValueError
        If `table` is unknown.

    See Also
    --------
    format_table : Format the result as text.

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.benchmark import join_published
    >>> summary = pd.DataFrame(
    ...     {"dataset": ["BBC"], "estimator": ["mine"], "accuracy": [0.7], "protocol": ["honest"]}
    ... )
    >>> joined = join_published(summary)
    >>> joined[["method", "bbc", "source"]].tail(2).to_numpy().tolist()[1]
    ['mine', 70.0, 'own, honest']
    """
    published = published_results(table)
    name = published.index.name
    published = published.reset_index()
    sources = [
        BEST_OF_EPOCHS if each in _OF_BEST_EPOCH else OTHER_PUBLICATION for each in published[name]
    ]
    published.insert(1, "source", sources)
    grouped: Any = with_protocol(summary).groupby(["protocol", "estimator"], sort=False)
    own = [
        {name: estimator, "source": f"own, {protocol_label(protocol)}"}
        | {_match(row.dataset): 100 * row.accuracy for row in rows.itertuples()}
        for (protocol, estimator), rows in grouped
    ]
    return pd.concat([published, pd.DataFrame(own)], ignore_index=True)


def _match(dataset: str) -> str:
    """Return the column of a data set: a published one if the names match."""
    alike = re.sub(r"[^a-z0-9]+", "_", dataset.lower()).strip("_")
    return alike if alike in DATASETS else dataset
