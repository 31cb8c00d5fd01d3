"""Wording that messages share."""


def abridge(names, n_shown=5):
    """List names in a sentence, the first few of them and the number of the others."""
    names = list(map(str, names))
    more = f" and {len(names) - n_shown} more" if len(names) > n_shown else ""
    return ", ".join(names[:n_shown]) + more
