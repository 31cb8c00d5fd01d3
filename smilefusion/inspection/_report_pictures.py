"""Pictures of a report: inline SVG that follows the page's colours."""

import io
import re
from html import escape

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
_DESCRIPTIONS = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(?:url\(|href=")#([^")]+)')
# Of a tag: the font, since that of the page is taken, turns by no angle, the panel that it is
# clipped to, since a report shows all there is, decimals and line breaks.
_SUPERFLUOUS = re.compile(
    r' font-family: [^;"]*;?| transform="rotate\(-0 [^"]*"| clip-path="[^"]*"|(?<=\d\.\d)\d+'
    r'| ?\n(?=[A-Zz"])'
)
_CLIPS = re.compile(r"<clipPath.*?</clipPath>", re.DOTALL)
_STYLE = re.compile(r'style="([^"]*)"')
_ALIKE = re.compile(r'<path d="([^"]*)" class="([^"]*)"/>(?:<path d="[^"]*" class="\2"/>)+')
_EMPTY = re.compile(r"<g/>|<g></g>|<defs></defs>|<defs/>|(?<=>)\s+(?=<)")


def draw_inline(display, name, description):
    """Return a drawn display as an SVG element, and close its figure.

    Parameters
    ----------
    display : object
        A display whose ``figure_`` is drawn.
    name : str
        Start of the element's identifiers; other pictures of the page have another.
    description : str
        What the picture shows, for readers who do not see it.

    Returns
    -------
    svg : str
        The element, without references to anything outside it.
    """
    plt = import_pyplot("write_report")
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        display.figure_.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    width = display.figure_.get_size_inches()[0]
    plt.close(display.figure_)
    svg = _CLIPS.sub("", _DESCRIPTIONS.sub("", buffer.getvalue()))
    view_box = re.search(r'viewBox="[^"]*"', svg)[0]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    used = set(_REFERENCE.findall(body))
    body = re.sub(r"<[^>]+>", lambda match: _adapt_tag(match[0], name, used), body)
    body = _name_styles(_EMPTY.sub("", _EMPTY.sub("", body)), name)
    if "<g " not in body:  # groups without attributes do nothing
        body = body.replace("<g>", "").replace("</g>", "")
    body = _ALIKE.sub(_join_paths, body)
    label = escape(description)
    return f'<svg role="img" aria-label="{label}" {view_box} style="--width: {width:.3g}in">{body}'


def _adapt_tag(tag, name, used):
    """Return a tag with the page's colours and identifiers of its own; texts stay as they are."""
    tag = _ID.sub(lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", tag)
    tag = _REFERENCE.sub(lambda match: match[0].replace("#", f"#{name}-"), tag)
    tag = _SUPERFLUOUS.sub("", tag)
    for color, variable in VARIABLES.items():
        tag = tag.replace(color, f"var({variable})")
    return tag


def _name_styles(svg, name):
    """Write each style once, as a class."""
    styles = {style: f"{name}-{i}" for i, style in enumerate(dict.fromkeys(_STYLE.findall(svg)))}
    rules = "".join(f".{key}{{{style}}}" for style, key in styles.items())
    svg = _STYLE.sub(lambda match: f'class="{styles[match[1]]}"', svg)
    return f"<style>{rules}</style>{svg}"


def _join_paths(match):
    """Return one path in place of several of one class."""
    lines = "".join(re.findall(r'd="([^"]*)"', match[0]))
    return f'<path d="{lines}" class="{match[2]}"/>'
