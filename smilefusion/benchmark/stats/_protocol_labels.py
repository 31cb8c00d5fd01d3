"""Protocols in tables: their column, and what must be said beside figures that come from them."""

HONEST = "honest"
TABLE_KEYS = ("protocol", "dataset")  # figures of different ones are not compared
_OPTIMISTIC = "optimistic"
_LABELS = {"published": f"published ({_OPTIMISTIC})"}
_REMARKS = {
    "published": f"Figures of the published protocol are {_OPTIMISTIC}: of each fold they take "
    "the epoch with the highest accuracy on the test clips, which raises even the figure of a "
    "coin, most where folds are small. They do not tell how well new people are judged.",
    "cross-dataset": "Cross-dataset: no clip of the data set that is tested was trained on.",
    "duration-matched": "Duration-matched: clips were left out so that those of both classes are "
    "equally long; in the usual data sets length alone tells them apart.",
    "permuted-labels": "Permuted labels: there is nothing to learn, so that a figure above chance "
    "comes from a leak or from luck.",
}
# Where figures of the literature come from; of those that are not the first, no more is known.
BEST_OF_EPOCHS = f"published, best of 300 epochs on the test fold ({_OPTIMISTIC})"
OTHER_PUBLICATION = "published, protocol of its authors"


def with_protocol(table):
    """Return a table with its protocol in every row, "honest" where none is told."""
    if "protocol" not in table:
        return table.assign(protocol=HONEST)
    told = table["protocol"].astype(object)
    return table.assign(protocol=told.where(told.notna(), HONEST))


def protocol_label(protocol):
    """Return the name that a protocol has beside its figures; optimistic ones are stamped."""
    return _LABELS.get(protocol, protocol)


def table_title(protocol, dataset):
    """Return the name of a data set, with the protocol where that is not the honest one."""
    return dataset if protocol == HONEST else f"{dataset}, {protocol_label(protocol)}"


def protocol_remarks(protocols):
    """Return the sentences that must stand below figures of some protocols, each once."""
    return [_REMARKS[name] for name in dict.fromkeys(protocols) if name in _REMARKS]
