"""Print paragraphs and tables: as plain text, or fitted to the window of a terminal."""

import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd

from smilefusion._messages import escape_controls, one_line
from smilefusion.benchmark.tables._styles import MarkedTable, TextTable
from smilefusion.benchmark.tables._tables import format_number

_PHRASE_WIDTH, _WORD_WIDTH = 20, 40  # columns with phrases or long words need not be wider
_GAP = 2  # spaces between columns


def print_parts(parts: Sequence[str], file: object) -> None:
    """Print paragraphs and tables of `format_table`; `file` contains the complete tables."""
    if not sys.stdout.isatty():
        print(escape_controls("\n\n".join(parts)))
        return
    for part in parts:
        if isinstance(part, MarkedTable):
            print_fitted(part.table, f"See {file}.")
        else:
            _print_wrapped(part)
        print()


def print_frame(frame: pd.DataFrame, n_digits: int, advice: str = "") -> None:
    """Print a table; `advice` says where to find columns that the window has no space for."""
    if not sys.stdout.isatty():
        print(frame.to_string(index=False, float_format=f"{{:.{n_digits}f}}".format))
        return
    is_text = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    form = f".{n_digits}f"
    cells = frame.map(lambda cell: format_number(cell, form) if isinstance(cell, float) else cell)
    rows = cells.astype(str).to_numpy().tolist()
    headers = [str(name).replace("_", " ") for name in frame]
    print_fitted(TextTable(headers, rows, is_text, frozenset(), []), advice)


def print_fitted(table: TextTable, advice: str = "") -> None:
    """Print a table on a terminal, without the last columns of numbers if it is too wide."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    columns = [
        [Text(one_line(text)) for text in texts]
        for texts in zip(table.headers, *table.rows, strict=True)
    ]
    widths = _fit(columns, table.is_text, console.width)
    fitted = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for place, width in widths.items():
        justify: Any = "left" if table.is_text[place] else "right"
        fitted.add_column(columns[place][0], justify=justify, width=width, overflow="fold")
    for cells in zip(*(columns[place][1:] for place in widths), strict=True):
        fitted.add_row(*cells)
    console.print(fitted)
    left_out = [name for place, name in enumerate(table.headers) if place not in widths]
    narrow = f"The window is too narrow for {', '.join(left_out)}. {advice}".rstrip()
    for note in [*table.notes, *([narrow] if left_out else [])]:
        _print_wrapped(note)


def _fit(columns: list[list[Any]], is_text: list[bool], width: int) -> dict[int, int]:
    """Return the widths of the columns that fit; headers and phrases may wrap, numbers not."""
    least, natural = {}, {}
    for place, (header, *cells) in enumerate(columns):
        widest = max((cell.cell_len for cell in cells), default=0)
        if is_text[place]:
            least[place] = min(widest, max(_PHRASE_WIDTH, min(_longest_word(cells), _WORD_WIDTH)))
        else:
            least[place] = widest
        least[place] = max(least[place], _longest_word([header]))
        natural[place] = max(widest, header.cell_len)
    numbers = [place for place in least if not is_text[place]]
    while numbers and sum(least.values()) + _GAP * (len(least) - 1) > width:
        del least[numbers.pop()]
    spare = width - sum(least.values()) - _GAP * (len(least) - 1)
    widths = {}
    for place in least:
        more = max(min(natural[place] - least[place], spare), 0)
        widths[place] = least[place] + more
        spare -= more
    return widths


def _longest_word(texts: list[Any]) -> int:
    """Return the width of the longest word."""
    return max((word.cell_len for text in texts for word in text.split(" ")), default=0)


def _print_wrapped(text: str) -> None:
    """Print a paragraph on a terminal."""
    from rich.console import Console
    from rich.text import Text

    heading = text.lstrip("#")
    style = "" if heading == text else "bold"
    Console(highlight=False).print(Text(escape_controls(heading.strip()), style))
