"""The pieces of a report's HTML: page, style sheet, sections, tables."""

from html import escape

from smilefusion.benchmark.tables._styles import TextTable, to_html

_LIGHT = """
  --text: #1b1f24; --paper: #ffffff; --muted: #5d6673; --grid: #e5e7eb; --band: #f5f7f9;
  --ink: #1f3a5f; --color-1: #e08a00; --color-2: #1b9e77; --color-3: #8c1d4f; --color-4: #5fb0ee;
  --color-5: #b7a6d6; --better: #d3e6fb; --worse: #fce3c0; --stamp: #fdf0d8;
"""
_DARK = """
  --text: #e3e6ea; --paper: #15181c; --muted: #9aa4b1; --grid: #343a42; --band: #1e2329;
  --ink: #9cc3f5; --color-1: #f0a63a; --color-2: #3cc79c; --color-3: #e27aa6; --color-4: #5fb0ee;
  --color-5: #b7a6d6; --better: #1d3f63; --worse: #5c3d0c; --stamp: #443213;
"""
_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif;
}}
h1 {{ font-size: 1.7rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--grid); }}
h3 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }}
p {{ margin: .4rem 0; max-width: 60rem; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; margin: .75rem 0; container-type: inline-size; }}
.note {{ color: var(--muted); font-size: .9rem; }}
table {{ border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .7rem; text-align: left; vertical-align: top; }}
thead th {{ box-shadow: inset 0 -1.5px var(--text); vertical-align: bottom; }}
tr {{ background: var(--paper); }}
tbody tr:nth-child(even) {{ background: var(--band); }}
tr > :first-child {{ position: sticky; left: 0; background: inherit; }}
tbody tr:last-child td {{ border-bottom: 1px solid var(--grid); }}
.number {{ text-align: right; white-space: nowrap; }}
.facts td:first-child {{ color: var(--muted); white-space: nowrap; }}
.matrix th, .matrix td {{ padding: .2em .4em; text-align: right; white-space: nowrap; }}
.matrix {{ font-size: clamp(6px, calc(100cqw / (4 * var(--columns) + 20)), .8rem); }}
.matrix tbody th {{ text-align: left; font-weight: normal; }}
.better {{ background: var(--better); font-weight: 600; }}
.worse {{ background: var(--worse); font-weight: 600; }}
.stamp {{ background: var(--stamp); padding: .5rem .8rem; border-left: 4px solid var(--color-1); }}
details {{ margin: .5rem 0; }}
summary {{ cursor: pointer; color: var(--ink); overflow-wrap: anywhere; }}
pre {{
  overflow-x: auto; background: var(--band); padding: .6rem .8rem; font-size: .8rem;
  margin: .5rem 0;
}}
.picture svg {{
  display: block; width: var(--width); max-width: 100%; min-width: calc(.75 * var(--width));
  height: auto;
}}
svg * {{ stroke-linejoin: round; stroke-linecap: butt; }}
svg text {{
  white-space: pre; fill: var(--text); font-family: "DejaVu Sans", Verdana, system-ui, sans-serif;
}}
@media print {{
  body {{ font-size: 10pt; max-width: none; padding: 0; }}
  .scroll {{ overflow: visible; }}
  h2, h3 {{ break-after: avoid; }}
  .picture svg, tr {{ break-inside: avoid; }}
  .picture svg {{ min-width: 0; }}
  details::details-content {{ content-visibility: visible; height: auto; }}
}}
"""


def make_page(title, body):
    """Return a page of HTML without anything outside it."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def heading(level, text):
    """Return a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text, kind=None):
    """Return a paragraph of text."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(text)}</p>"


def preformatted(text):
    """Return text whose line breaks are kept."""
    return f"<pre>{escape(text)}</pre>"


def fold_away(summary, content):
    """Return content that a click on its summary shows."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def let_scroll(content, kind=""):
    """Return content that scrolls sideways where it is wider than the page."""
    return f'<div class="scroll {kind}">{content}</div>'


def make_table(headers, rows, *, n_words=1, kind=None):
    """Return a table whose first columns hold words and whose others numbers."""
    is_text = [place < n_words for place in range(len(headers))]
    texts = [[str(cell) for cell in row] for row in rows]
    table = to_html(TextTable(list(headers), texts, is_text, frozenset(), []))
    return let_scroll(table.replace("<table>", f'<table class="{kind}">', 1) if kind else table)


def place_table(html):
    """Return HTML of `format_table` whose table scrolls where it is wide."""
    table, end, notes = html.partition("</table>")
    return let_scroll(table + end) + notes.replace("<p>", '<p class="note">')


def make_matrix(names, cells):
    """Return a square table: names at the left, their numbers above.

    Parameters
    ----------
    names : list of str
        What is compared.
    cells : list of list of tuple of (str, str)
        Text and class of each cell.

    Returns
    -------
    html : str
        The table.
    """
    head = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(names) + 1))
    rows = []
    for place, (name, row) in enumerate(zip(names, cells, strict=True), start=1):
        body = "".join(
            f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"
            for text, kind in row
        )
        rows.append(f'<tr><th scope="row">{place} {escape(name)}</th>{body}</tr>')
    table = (
        f'<table class="matrix" style="--columns: {len(names)}">'
        f"<thead><tr><th></th>{head}</tr></thead>\n"
        f"<tbody>{chr(10).join(rows)}</tbody></table>"
    )
    return let_scroll(table)
