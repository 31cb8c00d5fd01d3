"""Sequences of signals: indexing, scikit-learn's splits, and what check_signals refuses."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupKFold, cross_val_score, train_test_split

from smilefusion.clips import SignalSequence, check_signals
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

NAMES = ("AU06_r", "AU12_r")


def action_units(n_clips=6, n_frames=20):
    """Tables of two action units with one frame more in each clip."""
    rng = np.random.default_rng(0)
    return [
        pd.DataFrame(rng.random((n_frames + i, 2)), columns=list(NAMES)) for i in range(n_clips)
    ]


def sequence():
    return check_signals(action_units(), fps=[25, 25, 25, 30, 30, 30], subjects=[0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    "index", [slice(2, 4), [2, 3], np.array([2, 3]), np.isin(np.arange(6), [2, 3])]
)
def test_subsets_keep_their_facts(index):
    signals = sequence()
    part = signals[index]
    assert isinstance(part, SignalSequence)
    assert part.signals == NAMES
    assert part.fps.tolist() == [25, 30]
    assert part.subjects.tolist() == [1, 1]
    assert part.names == ["Clip 2", "Clip 3"]
    assert part.shape == (2,)
    assert np.array_equal(part[1], signals[3])


def test_values_are_those_of_the_tables():
    tables = action_units()
    signals = check_signals(tables)
    assert all(np.array_equal(array, table) for array, table in zip(signals, tables, strict=True))


def test_sequence_prints_in_one_line():
    assert repr(sequence()) == "6 clips, 2 signals, 25–30 fps, 3 subjects, 20–25 frames"


def test_splits_keep_a_sequence_with_its_facts():
    train, test = train_test_split(sequence(), random_state=0)
    assert isinstance(train, SignalSequence)
    assert isinstance(test, SignalSequence)
    assert len(train) + len(test) == 6


class Constant(ClassifierMixin, BaseEstimator):
    """Predict the first class; fail if the signals have lost their facts."""

    def fit(self, X, y):
        assert X.signals == NAMES
        assert len(X.subjects) == len(X.fps) == len(y)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_cross_validation_keeps_a_sequence():
    signals = sequence()
    y = [0, 1] * 3
    scores = cross_val_score(
        Constant(), signals, y, groups=signals.subjects, cv=GroupKFold(3), error_score="raise"
    )
    assert scores.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("as_index", [False, True])
def test_times_in_a_table_give_the_frame_rate(as_index):
    table = action_units(1, 100)[0].assign(time_s=np.arange(100) / 30)
    signals = check_signals([table.set_index("time_s") if as_index else table])
    assert signals.fps.tolist() == [30]
    assert signals.signals == NAMES


def test_uneven_times_warn():
    table = action_units(1)[0].assign(time_s=np.linspace(0, 1, 20) ** 2)
    with pytest.warns(FrameRateWarning, match="Clip 0: the frames are not equally spaced"):
        check_signals([table])


def test_table_gives_back_the_signals():
    table = sequence().table(3)
    assert table.columns.tolist() == [*NAMES]
    assert table.index.name == "time_s"
    assert table.index[30 - 8] == pytest.approx(22 / 30)
    assert check_signals(action_units()).table(0).index.name == "frame"


def test_selection_takes_columns_in_the_given_order():
    signals = check_signals(sequence(), signals=NAMES[::-1])
    assert signals.signals == NAMES[::-1]
    assert np.array_equal(signals[0], sequence()[0][:, ::-1])
    assert signals.subjects.tolist() == sequence().subjects.tolist()


def test_columns_are_matched_by_name():
    tables = action_units(2)
    signals = check_signals([tables[0], tables[1][[*NAMES[::-1]]]])
    assert np.array_equal(signals[1], tables[1])


def test_nullable_columns_are_read():
    table = action_units(1)[0]
    table.loc[3] = np.nan
    assert np.array_equal(check_signals([table.astype("Float64")])[0], table, equal_nan=True)


def test_arrays_take_names():
    arrays = [table.to_numpy() for table in action_units()]
    assert check_signals(arrays, signals=NAMES).signals == NAMES
    assert check_signals(arrays).signals == ("x0", "x1")


def test_facts_are_overridden():
    signals = check_signals(sequence(), fps=50, names=[*"abcdef"])
    assert set(signals.fps) == {50}
    assert signals.names == [*"abcdef"]
    assert signals.replace(subjects=np.arange(6)).subjects[5] == 5


def test_missing_frames_and_absent_signals_are_kept():
    table = action_units(1)[0]
    table.loc[3] = np.nan
    table["AU12_r"] = np.nan
    assert np.array_equal(check_signals([table])[0], table, equal_nan=True)


def changed(**columns):
    return [action_units(1)[0].assign(**columns)]


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (action_units(1)[0], "type DataFrame; a sequence .* Wrap the signals of one clip"),
        (np.zeros((20, 2)), "array with 2 axes"),
        ([], "X holds no clips"),
        ([np.zeros(20)], r"Clip 0 is an array of shape \(20,\)"),
        ([np.zeros((20, 2)), np.zeros((20, 3))], r"Clip 1 is an array of shape \(20, 3\)"),
        ([["a", "b"]], "Clip 0 is an array of shape .* dtype <U1"),
        (changed(AU12_r=[np.inf] * 20), "infinite value of 'AU12_r' in frame 0"),
        (changed(AU12_r=[np.nan] + [1] * 19), "no value of 'AU12_r' in frame 0, but"),
        (changed(AU12_r=np.nan, AU06_r=np.nan), "Clip 0 shows no face: all 20 frames"),
        (changed(AU12_r=["a"] * 20), "column 'AU12_r' of dtype"),
        (changed(AU12_r=[True] * 20), "column 'AU12_r' of dtype bool"),
        (changed(AU12_r=[1j] * 20), "column 'AU12_r' of dtype complex128"),
        (changed(time_s=[0.0] * 20), "times in 'time_s' that .* do not increase"),
        ([*changed(), changed()[0][["AU06_r"]]], "Clip 1 has no signal 'AU12_r'; it has AU06"),
        ([*changed(), *changed(AU45_r=0)], "Clip 1 has the signals AU45_r, which the first"),
        ([changed()[0].iloc[:0]], "Clip 0 has 0 frames of 2 signals"),
        ([changed()[0].set_axis(["a", "a"], axis=1)], "Clip 0 has the name 'a', but"),
        ([changed()[0].set_axis([0, 1], axis=1)], "Clip 0 has the name 0, but"),
        ([changed()[0].iloc[:, :0]], "Clip 0 has no signals, but"),
    ],
)
def test_wrong_signals_are_refused(X, match):
    with pytest.raises(InvalidClipError, match=match):
        check_signals(X)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"signals": ["AU45_r"]}, "Clip 0 has no signal 'AU45_r'"),
        ({"min_frames": 22}, "Clip 0 has 20 frames, but at least 22"),
        ({"fps": 0}, "fps must be between 1 and 1000"),
        ({"subjects": [0]}, "subjects must contain one label per clip"),
        ({"names": ["a"]}, "names must contain one name per clip; got 1 name for 6 clips"),
        ({"signals": "AU12_r"}, r"got the string 'AU12_r'. Pass \['AU12_r'\]"),
    ],
)
@pytest.mark.parametrize("X", [action_units(), sequence()], ids=["tables", "sequence"])
def test_facts_that_do_not_fit_are_refused(X, arguments, match):
    with pytest.raises(ValueError, match=match):
        check_signals(X, **arguments)


class OtherTable:
    """Table of another library, such as polars: column names, and one series per column."""

    columns = ("time_s", "AU12_r")

    def __getitem__(self, name):
        return {"time_s": [0.0, 0.04, 0.08], "AU12_r": [0.0, 0.5, 1.0]}[name]


def test_tables_of_other_libraries_keep_names_and_times():
    signals = check_signals([OtherTable()])
    assert signals.signals == ("AU12_r",)
    assert signals.fps.tolist() == [25]
