"""Text in CSV files that a spreadsheet shows instead of running it as a formula."""

import contextlib
import re

_FORMULA = re.compile("'*[=+\\-@\t\r]")  # how a text starts that a spreadsheet may run


def protect_cells(table):
    """Return a copy of a data frame whose texts are safe to write with `to_csv`."""
    return table.map(lambda cell: protect(cell) if isinstance(cell, str) else cell)


def protect(text):
    """Put an apostrophe before a text that is a formula to a spreadsheet; `restore` removes it.

    Bytes of a file name that are not UTF-8 become backslash escapes.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if _is_formula(text) else text


def restore(text):
    """Return the text that `protect` was given."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text):
    if not _FORMULA.match(text):
        return False
    with contextlib.suppress(ValueError):  # a number such as the label "-1" does no harm
        float(text.lstrip("'"))
        return False
    return True
