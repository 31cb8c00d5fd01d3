"""Wording that messages share."""

_MOST_CHARACTERS = 500  # of a name; what files hold may be of any length


def printable(name):
    """Return a name or text as it can be printed in a sentence: escaped and cut where needed."""
    text = str(name)[: _MOST_CHARACTERS + 1]
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def abridge(names, n_shown=5):
    """List names in a sentence, the first few of them and the number of the others."""
    names = list(map(printable, names))
    more = f" and {len(names) - n_shown} more" if len(names) > n_shown else ""
    return ", ".join(names[:n_shown]) + more
