"""Configuration of the documentation."""

import logging
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util.logging import getLogger

from smilefusion import __version__

sys.path.insert(0, str(Path(__file__).parent))
from tables import write_tables

project = "smilefusion"
author = "The smilefusion developers"
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**.ipynb", "gallery/**.py"]
templates_path = ["_templates"]
html_math_renderer = "mathml"
default_role = "py:obj"
add_module_names = False

# Pages of names that are gone would stay, and be warned about.
shutil.rmtree(Path(__file__).parent / "api", ignore_errors=True)
write_tables(Path(__file__).parent / "generated")
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "pandas": ("https://pandas.pydata.org/docs", None),
    "scipy": ("https://docs.scipy.org/doc/scipy", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
    "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
}
intersphinx_timeout = 10

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(plot_|nano_smile)",
    "subsection_order": [f"../examples/{name}" for name in ("compare", "extend", "papers")],
    "within_subsection_order": "gallery_setup.position",
    "reset_modules": (
        "matplotlib",
        "gallery_setup.enlarge_text",
        "gallery_setup.link_diagrams",
    ),
    "thumbnail_size": (640, 448),
    "default_thumb_file": str(Path(__file__).parent / "images" / "nano_smile.svg"),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("smilefusion",),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "smilefusion"
html_static_path = ["_static"]
html_css_files = ["custom.css", "gallery.css"]
html_js_files = ["tables.js"]
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": f"smilefusion {version}"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def convert_markdown(app, path, docname, content):
    """Turn headings and literals of an included Markdown file into reStructuredText."""
    if path.suffix == ".md":
        text = re.sub(r"`([^`]+)`", r"``\1``", content[0])
        for marks, underline in (("###", "~"), ("##", "-"), ("#", "=")):
            text = re.sub(
                rf"^{marks} (.+)$",
                lambda heading, line=underline: f"{heading[1]}\n{line * len(heading[1])}",
                text,
                flags=re.MULTILINE,
            )
        content[0] = text


def is_not_offline(record):
    """Turn the warning that a project cannot be reached into a message; links are then text."""
    if "failed to reach any of the inventories" not in str(record.msg):
        return True
    getLogger(__name__).info(record.getMessage())
    return False


def write_formula(writer, node):
    """Write a formula as MathML, which browsers show without a script or the network."""
    is_block = isinstance(node, nodes.math_block)
    tag = "div" if is_block else "span"
    try:
        formula = latex2mathml.tex2mathml(node.astext(), as_block=is_block)
    except MathError as error:
        getLogger(__name__).warning(f"{error} in {node.astext()}", location=node)
        raise nodes.SkipNode from None
    writer.body.append(f'<{tag} class="math">{formula}</{tag}>')
    raise nodes.SkipNode


def setup(app):
    """Connect the conversion and the filter."""
    app.connect("include-read", convert_markdown)
    logging.getLogger("sphinx.sphinx.ext.intersphinx").addFilter(is_not_offline)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
