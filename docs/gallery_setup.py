"""Order of the examples, style of their figures, and links of their diagrams."""

import os
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# From first steps to advanced, within each folder of examples.
ORDER = (
    # First steps
    "describe_a_video",
    "plot_dmarkers_of_a_smile",
    "plot_fuse_two_streams",
    "plot_few_labels",
    "plot_own_table",
    "nano_smile",
    # Compare and explain
    "plot_fifteen_strategies",
    "plot_significance",
    "plot_explanation",
    "plot_dmarker_importance",
    "plot_smile_curves",
    # Extend
    "plot_own_fusion",
    "plot_own_encoder",
    "plot_timm_backbone",
    "plot_two_streams_of_your_choice",
    "plot_signal_markers",
    "plot_streaming",
    # Reproduce the papers
    "plot_three_systems",
    "plot_end_to_end_or_two_stages",
    "plot_looking_at_the_test_fold",
    "plot_state_of_the_art",
    "plot_efficiency",
)


def position(path):
    """Return the place of an example in its folder."""
    return ORDER.index(Path(path).stem)


def enlarge_text(gallery_conf, example):
    """Make the text of figures legible in thumbnails."""
    import matplotlib as mpl

    mpl.rcParams.update({"font.size": 12, "figure.dpi": 100})


def link_diagrams(gallery_conf, example):
    """Make "?" in the diagram of an estimator lead to its page."""
    if example is not None:
        (path,) = EXAMPLES.rglob(Path(example).name)
        depth = len(path.relative_to(EXAMPLES).parts)
        os.environ["SMILEFUSION_DOCS"] = "/".join([".."] * depth)
