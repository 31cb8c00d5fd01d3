"""Keep spreadsheets from running text in CSV files as formulas."""

import contextlib
import re

import pandas as pd

_FORMULA = re.compile("'*[=+\\-@\t\r]")  # start of text that a spreadsheet may run


def protect_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of a data frame whose text is safe to write with `to_csv`."""
    return table.map(lambda cell: protect(cell) if isinstance(cell, str) else cell)


def protect(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet may run; `restore` removes it."""
    text = text.encode("utf-8", "backslashreplace").decode()  # file names may not be UTF-8
    return f"'{text}" if _is_formula(text) else text


def restore(text: str) -> str:
    """Undo `protect`."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    if not _FORMULA.match(text):
        return False
    with contextlib.suppress(ValueError):  # numbers such as the label "-1" are harmless
        float(text.lstrip("'"))
        return False
    return True
