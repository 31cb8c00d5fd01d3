"""Find what is cut on the pages of the documentation, in headless Chromium.

Run ``make docs`` first, then ``python tools/check_pages.py``. It opens each page in windows of
1300 and 420 px. It lists the code blocks, tables, pictures and formulas that are wider than their
place, and the pages whose text column is narrower than 900 px in the wide window. It exits with
status 1 if there are any.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HTML = Path(__file__).resolve().parents[1] / "docs" / "_build" / "html"
WIDTHS = (1300, 420)
LEAST_COLUMN = 900  # px of text in the widest window
# Pages that Sphinx writes without text of ours.
WITHOUT_TEXT = {"search.html", "genindex.html", "py-modindex.html"}
FIND = """() => {
  const article = document.querySelector(".bd-article");
  const shown = (element) => element.getClientRects().length > 0;
  const cut = [];
  for (const element of article.querySelectorAll("pre, table, img, math, dt.sig")) {
    // Closed parts of scikit-learn's diagrams have a size, but are not shown.
    if (!shown(element) || element.closest(".sk-top-container")) continue;
    const right = element.getBoundingClientRect().right;
    let place = document.documentElement.clientWidth;
    for (let parent = element.parentElement; parent !== article; parent = parent.parentElement)
      if (getComputedStyle(parent).overflowX !== "visible")
        place = Math.min(place, parent.getBoundingClientRect().right);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth || right > place + 1)
      cut.push(element.tagName.toLowerCase() + ": " + element.innerText.trim().slice(0, 60));
  }
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1) cut.push("the page scrolls sideways");
  return { cut, column: article.clientWidth };
}"""


def main():
    """Check the pages and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HTML, help="built pages")
    folder = parser.parse_args().folder
    pages = sorted(
        page
        for page in folder.rglob("*.html")
        if page.name not in WITHOUT_TEXT and not {"_modules", "_static"} & set(page.parts)
    )
    if not pages:
        sys.exit(f"The folder {folder} contains no pages. Run make docs first.")
    problems = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for width in WIDTHS:
            window = browser.new_page(viewport={"width": width, "height": 900})
            narrowest = width
            for page in pages:
                window.goto(page.resolve().as_uri(), wait_until="load")
                found = window.evaluate(FIND)
                name = page.relative_to(folder)
                problems += [f"{name} at {width} px: {each}" for each in found["cut"]]
                narrowest = min(narrowest, found["column"])
                if width == max(WIDTHS) and found["column"] < LEAST_COLUMN:
                    problems.append(f"{name}: the text column has only {found['column']} px")
            print(f"{len(pages)} pages at {width} px: text columns of at least {narrowest} px")
    print("\n".join(problems) or "Nothing is cut.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
