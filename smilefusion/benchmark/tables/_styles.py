"""Text tables in Markdown, LaTeX and HTML."""

import html
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "−": "$-$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


# Attributes of cells with text and with numbers: for reports, and for notebooks, which have no
# style for the class and align every cell to the right.
_CLASSES = ("", ' class="number"')
_INLINE = (' style="text-align: left"', ' style="text-align: right"')


class MarkedTable(str):
    """Markup of a table that notebooks show as a table."""

    table: "TextTable"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return to_html(self.table, _INLINE)

    def _repr_markdown_(self) -> str:
        return to_markdown(self.table)

    def _repr_latex_(self) -> str:
        return to_latex(self.table)


@dataclass(frozen=True)
class TextTable:
    """The text of a table."""

    headers: list  # n_columns texts
    rows: list  # n_rows lists of n_columns texts
    is_text: list  # n_columns: whether a column holds words, not numbers
    bold: frozenset  # of (row, column)
    notes: list  # sentences below the table


def to_markdown(table: TextTable) -> str:
    """Return Markdown with aligned columns, words left and numbers right."""
    rows = [[_escape_markdown(text) for text in row] for row in [table.headers, *table.rows]]
    for row, column in table.bold:
        rows[row + 1][column] = f"**{rows[row + 1][column]}**"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = list(zip(widths, table.is_text, strict=True))
    lines = [
        " | ".join(
            text.ljust(width) if is_text else text.rjust(width)
            for text, (width, is_text) in zip(row, columns, strict=True)
        )
        for row in rows
    ]
    dashes = ["-" * (width + 1) for width, _ in columns]
    rule = [
        f":{d}" if is_text else f"{d}:" for d, is_text in zip(dashes, table.is_text, strict=True)
    ]
    lines = [f"| {line} |" for line in lines]
    lines.insert(1, f"|{'|'.join(rule)}|")
    return "\n".join([*lines, "", *table.notes])


def to_latex(table: TextTable) -> str:
    """Return LaTeX for the package booktabs, with notes below the tabular."""
    rows = [[_escape_latex(text) for text in row] for row in [table.headers, *table.rows]]
    for row, column in table.bold:
        rows[row + 1][column] = f"\\textbf{{{rows[row + 1][column]}}}"
    head, *body = [f"{' & '.join(row)} \\\\" for row in rows]
    letters = "".join("l" if is_text else "r" for is_text in table.is_text)
    lines = [f"\\begin{{tabular}}{{{letters}}}", "\\toprule", head, "\\midrule", *body]
    lines += ["\\bottomrule", "\\end{tabular}"]
    if table.notes:
        notes = " \\\\\n".join(_escape_latex(note) for note in table.notes)
        lines.append(f"\\par\\smallskip\n{{\\footnotesize {notes}\\par}}")
    return "\n".join(lines)


def to_html(table: TextTable, attributes: tuple[str, str] = _CLASSES) -> str:
    """Return HTML: a table element and a paragraph per note."""
    head = "".join(
        f'<th scope="col"{attributes[not is_text]}>{html.escape(text)}</th>'
        for text, is_text in zip(table.headers, table.is_text, strict=True)
    )
    body = "\n".join(f"<tr>{_html_row(table, i, attributes)}</tr>" for i in range(len(table.rows)))
    notes = [f"<p>{html.escape(note)}</p>" for note in table.notes]
    lines = [
        "<table>",
        f"<thead><tr>{head}</tr></thead>",
        f"<tbody>\n{body}\n</tbody>",
        "</table>",
    ]
    return "\n".join([*lines, *notes])


STYLES = {"markdown": to_markdown, "latex": to_latex, "html": to_html}


def mark_up(table: TextTable, style: str) -> MarkedTable:
    """Return the markup of a table."""
    text = MarkedTable(STYLES[style](table))
    text.table = table
    return text


def _escape_markdown(text: str) -> str:
    """Escape a text so that it cannot end its cell or become emphasis."""
    return " ".join(text.split()).replace("|", r"\|").replace("*", r"\*")


def _escape_latex(text: str) -> str:
    """Escape LaTeX's special characters in a text."""
    text = "".join(_LATEX.get(sign, sign) for sign in text)
    return f"{{{text}}}" if text.startswith(("[", "*")) else text  # not arguments of \\


def _html_row(table: TextTable, i: int, attributes: tuple[str, str]) -> str:
    """Return the cells of a row of HTML."""
    cells = []
    for j, (text, is_text) in enumerate(zip(table.rows[i], table.is_text, strict=True)):
        text = html.escape(text)
        text = f"<strong>{text}</strong>" if (i, j) in table.bold else text
        cells.append(f"<td{attributes[not is_text]}>{text}</td>")
    return "".join(cells)
