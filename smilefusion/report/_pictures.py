"""Pictures of a report: inline SVG in the colours of the page."""

import io
import re

from markupsafe import Markup

from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import COLORS, GRID, INK, MUTED, import_pyplot

# Colour → variable of the page's style sheet.
VARIABLES = {
    "#000000": "--text",
    "#ffffff": "--paper",
    MUTED: "--muted",
    GRID: "--grid",
    INK: "--ink",
    **{color: f"--color-{place}" for place, color in enumerate(COLORS[1:], start=1)},
}
_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<clipPath.*?</clipPath>", re.DOTALL
)
_TARGET = re.compile(r'(\bid="|url\(#|href="#)')
# The page sets the font, and nothing needs clipping. Two decimals are enough.
_SUPERFLUOUS = re.compile(r' font-family: [^;"]*;?| clip-path="[^"]*"|(?<=\d\.\d\d)\d+')


def draw_inline(display: Display, name: str, description: str) -> Markup:
    """Return a drawn display as SVG whose ids start with the name, and close its figure."""
    plt = import_pyplot("write_report")
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        display.figure_.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    width = display.figure_.get_size_inches()[0]
    plt.close(display.figure_)
    svg = _DROPPED.sub("", buffer.getvalue())
    view_box = re.findall(r'viewBox="[^"]*"', svg)[0]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<[^>]+>", lambda tag: _adapt_tag(tag[0], name), body)  # not the texts
    start = Markup('<svg role="img" aria-label="{}" {} style="--width: {:.3g}in">')
    return start.format(description, Markup(view_box), width) + Markup(body)


def _adapt_tag(tag: str, name: str) -> str:
    tag = _SUPERFLUOUS.sub("", _TARGET.sub(rf"\1{name}-", tag))
    for color, variable in VARIABLES.items():
        tag = tag.replace(color, f"var({variable})")
    return tag
