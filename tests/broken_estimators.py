"""Two small estimators on clips that keep every rule, and for every check one that breaks it."""

import copy
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from smilefusion._training._splits import check_groups
from smilefusion._training._trainer import check_labels, encode_labels
from smilefusion.clips import check_clips, check_fps
from smilefusion.landmarks import landmark_scheme
from smilefusion.tags import ClipInputTags


class Mouth(BaseEstimator):
    """Measure duration of clips and width of mouths."""

    def _read(self, X):
        return check_clips(X)

    def _frames(self, clip):
        return clip[~np.isnan(clip[:, 0, 0])]

    def _measure(self, X):
        clips = self._read(X)
        stated = getattr(clips, "fps", None) if self.fps is None else self.fps
        rates = np.nan_to_num(check_fps(stated, len(clips)), nan=1.0)
        scheme = landmark_scheme(clips[0].shape[1])
        rows = []
        for clip, rate in zip(clips, rates, strict=True):
            width = self._width(self._frames(clip), scheme)
            rows.append([len(clip) / rate, width.max(), width.std()])
        return np.array(rows)

    def _width(self, frames, scheme):
        def gap(one, other):
            difference = scheme.locate(frames, one) - scheme.locate(frames, other)
            return np.linalg.norm(np.float64(difference), axis=-1)

        mouth = gap("left_lip_corner", "right_lip_corner")
        return mouth / gap("left_eye_outer", "right_eye_outer")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = ClipInputTags(invariances=("translation", "scale", "rotation", "mirror"))
        return tags


class MouthTransformer(TransformerMixin, Mouth):
    def __init__(self, *, fps=None):
        self.fps = fps

    def fit(self, X, y=None):
        self._measure(X)
        return self

    def transform(self, X):
        return self._measure(X)

    def get_feature_names_out(self, input_features=None):
        return np.array(["duration", "greatest_width", "spread_of_width"], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class MouthClassifier(ClassifierMixin, Mouth):
    """Take the class of the nearest centre of randomly weighted measures."""

    __metadata_request__fit = {"groups": True}

    def __init__(self, *, fps=None, patience=None, random_state=None):
        self.fps = fps
        self.patience = patience
        self.random_state = random_state

    def fit(self, X, y, groups=None, sample_weight=None):
        table = self._measure(X)
        self.n_landmarks_ = self._read(X)[0].shape[1]
        self.classes_, indices = self._encode(y, len(table))
        groups = self._check_groups(groups, len(table))
        weights = self._check_weights(sample_weight, table)
        if self.patience is not None:
            kept = self._set_aside(len(table), groups)
            table, indices, weights = table[kept], indices[kept], weights[kept]
        self.importance_ = self._draw()
        self.centres_ = np.array(
            [
                np.average(table[indices == label], axis=0, weights=weights[indices == label])
                for label in range(len(self.classes_))
            ]
        )
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        self._check_landmarks(X)
        away = (self._measure(X)[:, None] - self.centres_) * self.importance_
        return softmax(-np.square(away).sum(axis=2), axis=1)

    def predict(self, X):
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    def _encode(self, y, n_clips):
        return encode_labels(check_labels(y, n_clips, self), self)

    def _check_groups(self, groups, n_clips):
        return check_groups(groups, n_clips)

    def _check_weights(self, weights, table):
        return _check_sample_weight(weights, table, ensure_non_negative=True)

    def _draw(self):
        return check_random_state(self.random_state).uniform(0.5, 1, 3)

    def _check_landmarks(self, X):
        if self._read(X)[0].shape[1] != self.n_landmarks_:
            raise ValueError("the clips have other landmarks than those of fit")

    def _set_aside(self, n_clips, groups):
        if groups is None:
            return np.arange(0, n_clips - 4)
        if len(np.unique(groups)) < 2:
            raise ValueError("early stopping needs two groups or more")
        splitter = GroupShuffleSplit(1, test_size=0.2, random_state=0)
        return next(splitter.split(np.zeros(n_clips), groups=groups))[0]


# Protocol


class ConstructorStoresOnly(MouthTransformer):
    def __init__(self, *, fps=None):
        self.fps = [fps]


class ConstructorValidatesNothing(MouthTransformer):
    def __init__(self, *, fps=None):
        if not isinstance(fps, (int, float, type(None))):
            raise TypeError("fps is no number")
        self.fps = fps


class CloneIsUnfitted(MouthClassifier):
    def __sklearn_clone__(self):
        return copy.deepcopy(self)


class SetParams(MouthTransformer):
    def set_params(self, **params):
        super().set_params(**params)


class Repr(MouthTransformer):
    def __repr__(self):
        return "an estimator"


class ClipTags(MouthTransformer):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class UnfittedIsRefused(MouthClassifier):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class StatelessWithoutFit(MouthTransformer):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        if not hasattr(self, "fitted_"):
            raise NotFittedError
        return super().transform(X)


class FitReturnsSelf(MouthTransformer):
    def fit(self, X, y=None):
        super().fit(X)


class FitKeepsParameters(MouthTransformer):
    def fit(self, X, y=None):
        self.fps = 30
        return self


class FitSetsLearnedAttributesOnly(MouthTransformer):
    def fit(self, X, y=None):
        self.n_clips = len(X)
        return self


class PredictionKeepsTheEstimator(MouthTransformer):
    def transform(self, X):
        self.clips_ = X
        return super().transform(X)


class InputsAreKept(MouthTransformer):
    def transform(self, X):
        for clip in X:
            clip -= 1
        return super().transform([clip + 1 for clip in X])


class ReadOnlyInputs(MouthTransformer):
    def transform(self, X):
        for clip in X:
            clip *= 1
        return super().transform(X)


class Pickle(MouthClassifier):
    def __setstate__(self, state):
        super().__setstate__(state | {"centres_": 0})


class RefitForgets(MouthClassifier):
    def fit(self, X, y, groups=None, sample_weight=None):
        before = getattr(self, "centres_", 0)
        super().fit(X, y, groups, sample_weight)
        self.centres_ = self.centres_ + before
        return self


class FitTransform(MouthTransformer):
    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X) + 1


class LabelsAreNeeded(MouthClassifier):
    def fit(self, X, y=None, groups=None, sample_weight=None):
        y = np.arange(len(X)) % 2 if y is None else y
        return super().fit(X, y, groups, sample_weight)


class LabelsAreOptional(MouthTransformer):
    def fit(self, X, y=None):
        self.shift_ = int(y is None)
        return self

    def transform(self, X):
        return super().transform(X) + self.shift_


# Forms of inputs


class FormsOfSequences(MouthTransformer):
    def _read(self, X):
        return super()._read(X[::-1] if isinstance(X, tuple) else X)


class ArrayOfEqualClips(MouthTransformer):
    def _read(self, X):
        return super()._read(X[:, 1:] if getattr(X, "ndim", 1) == 4 else X)


class Paths(MouthTransformer):
    def _read(self, X):
        if str(X[0]).endswith(".npz"):
            X = [np.load(path)["landmarks"][1:] for path in X]
        return super()._read(X)


class MissingFileIsRefused(MouthTransformer):
    def _read(self, X):
        is_lost = isinstance(X[0], Path) and not X[0].exists()
        return super()._read([np.zeros((3, 478, 3))] if is_lost else X)


class Dtypes(MouthTransformer):
    def _frames(self, clip):
        return super()._frames(clip)[:: 1 + (clip.dtype == np.float64)] // 0.01


class IntegerClips(MouthTransformer):
    def _read(self, X):
        return super()._read([c // 100 if c.dtype.kind == "i" else c for c in map(np.asarray, X)])


class MemoryLayouts(MouthTransformer):
    def _frames(self, clip):
        return super()._frames(clip.ravel(order="K").reshape(clip.shape))


class MissingFrames(MouthTransformer):
    def _frames(self, clip):
        return clip


class StringLabels(MouthClassifier):
    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


class BooleanLabels(MouthClassifier):
    def _encode(self, y, n_clips):
        return super()._encode(np.asarray(y).astype(int), n_clips)


class FormsOfLabels(MouthClassifier):
    def fit(self, X, y, groups=None, sample_weight=None):
        if isinstance(y, pd.Series):
            y = y.sort_index()
        return super().fit(X, y, groups, sample_weight)


class ThreeClasses(MouthClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, :2]


class FormsOfGroups(MouthClassifier):
    def _draw(self):
        return super()._draw() + self.n_letters_

    def _check_groups(self, groups, n_clips):
        self.n_letters_ = 0 if groups is None else len(str(groups[0]))
        return super()._check_groups(groups, n_clips)


class GroupsOfAnotherLengthAreRefused(MouthClassifier):
    def _check_groups(self, groups, n_clips):
        return groups


class EarlyStoppingKeepsGroupsWhole(MouthClassifier):
    def _set_aside(self, n_clips, groups):
        return super()._set_aside(n_clips, None)


class UniformSampleWeight(MouthClassifier):
    def _draw(self):
        return super()._draw() * self.share_

    def _check_weights(self, weights, table):
        self.share_ = 1 if weights is None else 2
        return super()._check_weights(weights, table)


class SampleWeightCounts(MouthClassifier):
    def _check_weights(self, weights, table):
        super()._check_weights(weights, table)
        return np.ones(len(table))


class BadSampleWeightIsRefused(MouthClassifier):
    def _check_weights(self, weights, table):
        return np.ones(len(table)) if weights is None else np.abs(weights)


# Wrong clips and labels


class Lenient(MouthTransformer):
    """Repair clips in place of refusing them."""

    def _repair(self, clip):
        return clip

    def _read(self, X):
        return super()._read([self._repair(clip) for clip in X])


class OneClipIsRefused(MouthTransformer):
    def _read(self, X):
        return super()._read([X] if getattr(X, "ndim", 1) == 3 else X)


class NoClipsAreRefused(MouthTransformer):
    def _measure(self, X):
        return super()._measure(X) if len(X) else np.empty((0, 3))


class WrongAxesAreRefused(Lenient):
    def _repair(self, clip):
        return np.broadcast_to(clip[:, None], (len(clip), 478, 3)) if clip.ndim == 2 else clip


class InfiniteValuesAreRefused(Lenient):
    def _repair(self, clip):
        return np.where(np.isinf(clip), 0, clip)


class PartialFramesAreRefused(Lenient):
    def _repair(self, clip):
        return np.where(np.isnan(clip), 0, clip)


class ClipsWithoutFaceAreRefused(Lenient):
    def _repair(self, clip):
        return np.zeros_like(clip) if np.isnan(clip).all() else clip


class TextIsRefused(Lenient):
    def _repair(self, clip):
        return clip.astype(float)


class MixedLandmarksAreRefused(Lenient):
    def _repair(self, clip):
        return np.pad(clip, [(0, 0), (0, 478 - clip.shape[1]), (0, 0)], mode="edge")


class OtherLandmarksThanFittedAreRefused(MouthClassifier):
    def _check_landmarks(self, X):
        pass


class LabelsOfAnotherLengthAreRefused(MouthClassifier):
    def fit(self, X, y, groups=None, sample_weight=None):
        return super().fit(X[: len(y)], y, groups, sample_weight)


class OneClassIsRefused(MouthClassifier):
    def _encode(self, y, n_clips):
        return np.unique(y, return_inverse=True)


class BadLabelsAreRefused(MouthClassifier):
    def _encode(self, y, n_clips):
        return super()._encode(np.round(np.nan_to_num(np.float64(y))), n_clips)


# Outputs


class OrderOfClips(MouthTransformer):
    def transform(self, X):
        return np.sort(super().transform(X), axis=0)


class ClipAlone(MouthTransformer):
    def transform(self, X):
        table = super().transform(X)
        return table - table.mean(axis=0)


class LongerNeighbours(MouthTransformer):
    def transform(self, X):
        table = super().transform(X)
        return table / table[:, 0].max()


class ClassifierOutputs(MouthClassifier):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmin(axis=1)]


class FeatureNames(MouthTransformer):
    def get_feature_names_out(self, input_features=None):
        return np.array(["duration", "width", "width"], dtype=object)


class SetOutput(MouthTransformer):
    def set_output(self, *, transform=None):
        return self


class FormsOfFps(MouthTransformer):
    def _measure(self, X):
        return super()._measure(X) + (self.fps is None)


class BadFpsIsRefused(MouthTransformer):
    def _measure(self, X):
        usable = isinstance(self.fps, float) and self.fps > 0
        return type(self)(fps=None)._measure(X) if self.fps == 0 else super()._measure(X) + usable


class DurationsFollowFps(MouthTransformer):
    def _measure(self, X):
        return MouthTransformer()._measure(X)


class MirroredClips(MouthTransformer):
    def transform(self, X):
        table = super().transform(X)
        table[[np.nanmax(clip[..., 0]) < 0 for clip in X]] = np.inf
        return table


class Translation(MouthTransformer):
    def _width(self, frames, scheme):
        return super()._width(frames, scheme) + frames[:, 0, 0]


class Scale(MouthTransformer):
    def _width(self, frames, scheme):
        return np.ptp(frames[:, :, 0], axis=1)


class Rotation(MouthTransformer):
    def _width(self, frames, scheme):
        return np.ptp(frames[:, :, 0], axis=1) / np.ptp(frames[:, :, 1], axis=1)


class Mirror(MouthTransformer):
    def _width(self, frames, scheme):
        left = scheme.locate(frames, "left_lip_corner") - scheme.locate(frames, "nose_tip")
        return np.linalg.norm(left, axis=1) / np.ptp(frames[:, :, 1], axis=1)


# Chance, threads and processes


class SameSeed(MouthClassifier):
    def _draw(self):
        return np.random.uniform(size=3)  # noqa: NPY002 (global on purpose)


class SeedCounts(MouthClassifier):
    def _draw(self):
        seed = self.random_state if isinstance(self.random_state, int) else None
        return np.random.default_rng(seed).uniform(size=3)


class GlobalStateIsKept(MouthClassifier):
    def _draw(self):
        np.random.seed(self.random_state)  # noqa: NPY002 (global on purpose)
        return np.random.uniform(size=3)  # noqa: NPY002 (global on purpose)


class PredictionsInThreads(MouthTransformer):
    def transform(self, X):
        self._clips = X
        time.sleep(0.01)
        return super().transform(self._clips)


class FitsInThreads(MouthClassifier):
    def _draw(self):
        FitsInThreads.seed = self.random_state
        time.sleep(0.05)
        return np.random.default_rng(FitsInThreads.seed).uniform(size=3)


class CrossValidation(MouthTransformer):
    def fit(self, X, y=None):
        self.shift_ = int(isinstance(X, np.ndarray))
        return self

    def transform(self, X):
        return super().transform(X) + getattr(self, "shift_", 0)


class Processes(MouthTransformer):
    def transform(self, X):
        return super().transform(X) + os.getpid()


class RoutingOfGroups(MouthClassifier):
    __metadata_request__fit = {"groups": None}


GOOD = {MouthTransformer, MouthClassifier}
HELPERS = {Mouth, Lenient, ClipInputTags}
BROKEN = {
    "check_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:]: value
    for name, value in dict(globals()).items()
    if isinstance(value, type) and issubclass(value, Mouth) and value not in GOOD | HELPERS
}
