import numpy as np
import pytest

from smilefusion.inspection._embedding import EmbeddingDisplay

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")


@pytest.fixture
def streams():
    rng = np.random.default_rng(0)
    target = np.arange(40) % 2
    return {
        "deep": rng.normal(size=(40, 6)) + 4 * target[:, None],
        "D-Markers": rng.normal(size=(40, 3)),
    }, np.array(["posed", "spontaneous"])[target]


@pytest.fixture
def display(streams):
    yield EmbeddingDisplay.from_embeddings(*streams, title="Streams")
    plt.close("all")


def test_display_has_a_panel_per_stream_with_every_clip(display):
    assert [axes.get_title(loc="left") for axes in display.axes_] == ["deep", "D-Markers"]
    for axes in display.axes_:
        assert sum(len(dots.get_offsets()) for dots in axes.collections) == 40


def test_display_colours_the_classes(display):
    handles, labels = display.axes_[-1].get_legend_handles_labels()
    assert labels == ["posed", "spontaneous"]
    colors = {tuple(handle.get_facecolor()[0]) for handle in handles}
    assert len(colors) == 2


def test_principal_components_keep_classes_apart_that_are_apart(display):
    first = display.points["deep"][:, 0]
    posed = np.asarray(display.y) == "posed"
    assert first[posed].max() < first[~posed].min() or first[posed].min() > first[~posed].max()


def test_principal_components_do_not_depend_on_units(streams, display):
    tables, y = streams
    scaled = {name: table * 1000 + 5 for name, table in tables.items()}
    again = EmbeddingDisplay.from_embeddings(scaled, y)
    for name in tables:
        np.testing.assert_allclose(
            np.abs(again.points[name]), np.abs(display.points[name]), atol=1e-6
        )


def test_axis_states_the_share_of_variance(display):
    table = np.random.default_rng(0).normal(size=(50, 1))
    line = EmbeddingDisplay.from_embeddings({"line": np.hstack([table, 3 * table])}, np.zeros(50))
    assert line.axes_[0].get_xlabel() == "component 1 (100 % of variance)"


def test_tsne_is_the_same_for_the_same_seed(streams):
    tables, y = streams
    first, second = (
        EmbeddingDisplay.from_embeddings(tables, y, method="tsne", perplexity=8, random_state=3)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.points["deep"], second.points["deep"])
    assert first.axes_[0].get_xlabel() == "t-SNE 1"
    plt.close("all")


def test_display_draws_on_given_axes(streams):
    figure, axes = plt.subplots(2)
    display = EmbeddingDisplay.from_embeddings(*streams, ax=axes)
    assert display.figure_ is figure
    assert display.axes_[1] is axes[1]
    plt.close(figure)


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
def test_bad_input_is_named(change, message, streams):
    arguments = {"streams": streams[0], "y": streams[1], **change}
    with pytest.raises(ValueError, match=message):
        EmbeddingDisplay.from_embeddings(**arguments)
