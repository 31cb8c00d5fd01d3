"""Names and remarks of protocols in tables and pictures."""

from collections.abc import Iterable

import pandas as pd

HONEST = "honest"
TABLE_KEYS = ("protocol", "dataset")  # scores are compared only within these
_OPTIMISTIC = "optimistic"
_LABELS = {"published": f"published ({_OPTIMISTIC})"}
_REMARKS = {
    "published": f"Scores of the published protocol are {_OPTIMISTIC}: each fold uses the epoch "
    "with the highest accuracy on the test clips, which raises even the score of random guessing, "
    "especially on small folds. They do not estimate accuracy on new people.",
    "cross-dataset": "Cross-dataset: no clip of the tested data set was used for training.",
    "duration-matched": "Duration-matched: clips were removed so that both classes have similar "
    "durations; in most data sets the duration predicts the class.",
    "permuted-labels": "Permuted labels: there is nothing to learn, so a score above chance is "
    "due to a leak or to luck.",
}
# Sources of published accuracies; the protocols of OTHER_PUBLICATION are not known in detail.
BEST_OF_EPOCHS = f"published, best of 300 epochs on the test fold ({_OPTIMISTIC})"
OTHER_PUBLICATION = "published, protocol of its authors"


def with_protocol(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a protocol in every row, by default "honest"."""
    if "protocol" not in table:
        return table.assign(protocol=HONEST)
    names = table["protocol"].astype(object)
    return table.assign(protocol=names.where(names.notna(), HONEST))


def protocol_label(protocol: str) -> str:
    """Return the display name of a protocol; optimistic ones are marked."""
    return _LABELS.get(protocol, protocol)


def table_title(protocol: str, dataset: str) -> str:
    """Return the name of a data set, with the protocol unless it is the honest one."""
    return dataset if protocol == HONEST else f"{dataset}, {protocol_label(protocol)}"


def protocol_remarks(protocols: Iterable[str]) -> list[str]:
    """Return the distinct remarks for some protocols."""
    return [_REMARKS[name] for name in dict.fromkeys(protocols) if name in _REMARKS]
