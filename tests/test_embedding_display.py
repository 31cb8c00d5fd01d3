import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from smilefusion.inspection import EmbeddingDisplay

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

LABELS = np.array(["posed", "spontaneous"])[np.arange(40) % 2]
RNG = np.random.default_rng(0)
STREAMS = {
    "deep": RNG.normal(size=(40, 6)) + 4 * (LABELS == "posed")[:, None],
    "D-Markers": RNG.normal(size=(40, 3)),
}


@pytest.fixture
def display():
    yield EmbeddingDisplay.from_embeddings(STREAMS, LABELS, title="Streams")
    plt.close("all")


def test_display_has_a_panel_per_stream_with_every_clip(display):
    assert [axes.get_title(loc="left") for axes in display.axes_] == ["deep", "D-Markers"]
    for axes in display.axes_:
        assert sum(len(dots.get_offsets()) for dots in axes.collections) == 40


def test_display_colours_the_classes(display):
    handles, labels = display.axes_[-1].get_legend_handles_labels()
    assert labels == ["posed", "spontaneous"]
    assert len({tuple(handle.get_facecolor()[0]) for handle in handles}) == 2


def test_principal_components_separate_distinct_classes(display):
    first = display.points["deep"][:, 0]
    posed = LABELS == "posed"
    assert first[posed].max() < first[~posed].min() or first[posed].min() > first[~posed].max()


def test_principal_components_do_not_depend_on_units(display):
    scaled = {name: table * 1000 + 5 for name, table in STREAMS.items()}
    again = EmbeddingDisplay.from_embeddings(scaled, LABELS)
    for name in STREAMS:
        points = np.abs(again.points[name]), np.abs(display.points[name])
        np.testing.assert_allclose(*points, atol=1e-6)


def test_axis_states_the_share_of_variance():
    table = RNG.normal(size=(50, 1))
    line = EmbeddingDisplay.from_embeddings({"line": np.hstack([table, 3 * table])}, np.zeros(50))
    assert line.axes_[0].get_xlabel() == "component 1 (100 % of variance)"
    plt.close("all")


def test_tsne_with_the_same_seed_gives_the_same_picture_on_given_axes():
    figure, axes = plt.subplots(2)
    options = {"method": "tsne", "perplexity": 3, "random_state": 3, "ax": axes}
    few = {name: table[:10] for name, table in STREAMS.items()}
    with threadpool_limits(1):
        first, second = (
            EmbeddingDisplay.from_embeddings(few, LABELS[:10], **options) for _ in range(2)
        )
    np.testing.assert_array_equal(first.points["deep"], second.points["deep"])
    assert first.axes_[0].get_xlabel() == "t-SNE 1"
    assert first.figure_ is figure
    assert first.axes_[1] is axes[1]
    plt.close("all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "umap"}, "method must be 'pca' or 'tsne'; got 'umap'"),
        ({"streams": {}}, "dict of at least one table"),
        ({"streams": {"deep": np.zeros((39, 4))}}, "'deep' has 39 rows; y has 40 labels"),
        ({"streams": {"deep": np.full((40, 4), np.nan)}}, "stream 'deep' contains NaN"),
        ({"streams": {"deep": np.zeros((40, 1))}}, "minimum of 2 is required"),
        ({"method": "tsne", "perplexity": 40}, "got 40 for the 40 clips of stream 'deep'"),
        ({"ax": plt.figure().subplots(1)}, "one axes per panel, 2; got 1"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay.from_embeddings(**{"streams": STREAMS, "y": LABELS, **change})
