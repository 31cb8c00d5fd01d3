"""Load the pretrained model in the package, and adapt it to labelled clips."""

import warnings
from copy import deepcopy
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator

from smilefusion.estimators._pipeline import make_smile_classifier
from smilefusion.exceptions import ModelVersionWarning
from smilefusion.persistence._model_files import load_model
from smilefusion.reliability._checked import CheckedClassifier

PRETRAINED = "smile_classifier.model"
N_FULL_FIT = 500
CLASSES = ("posed", "spontaneous")


def pretrained_path() -> Any:
    """Return the path of the pretrained model in the package."""
    return resources.files("smilefusion.data") / PRETRAINED


def load_pretrained() -> CheckedClassifier:
    """Load the pretrained model, which was trained on simulated smiles only.

    Returns
    -------
    model : CheckedClassifier
        A fitted classifier of clips with 478 or 68 landmarks. Its classes are "posed" and
        "spontaneous".

    See Also
    --------
    adapt : Adapt the model to labelled clips.

    Notes
    -----
    On 576 real clips from one data set, models that were trained in the same way reached an AUC of
    .86. Most of the accuracy comes from the duration of the smiles.
    :doc:`One page </reference/pretrained_accuracy>` shows the accuracy of the model, and
    :doc:`another </guide/shipped_model>` its limits.

    Examples
    --------
    >>> from smilefusion import load_pretrained
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(4, n_subjects=2, fps=30, random_state=5)
    >>> load_pretrained().answer(smiles.clips)["class"].tolist()
    ['posed', 'spontaneous', 'posed', 'posed']
    """
    with resources.as_file(pretrained_path()) as path, warnings.catch_warnings():
        # The tests load the model with all supported versions of the other packages.
        warnings.simplefilter("ignore", ModelVersionWarning)
        return load_model(path)


def adapt(
    model: CheckedClassifier, X: Any, y: ArrayLike, groups: ArrayLike | None = None
) -> CheckedClassifier:
    """Adapt a fitted model to labelled clips.

    With fewer than 500 clips, only the intercept and slope of its logits change. From 500 clips
    on, the result averages the probabilities of this recalibrated model and of a new model, which
    is trained only on these clips.

    Parameters
    ----------
    model : CheckedClassifier
        A fitted model, such as the one that `load_pretrained` returns. It is not changed.
    X : sequence of clips
        Clips in a form that `smilefusion.clips.check_clips` accepts.
    y : array-like of shape (n_clips,)
        Label of each clip: a class of the model, or 0 for its first and 1 for its second class.
    groups : array-like of shape (n_clips,), default=None
        Subject of each clip. Only used from 500 clips on.

    Returns
    -------
    adapted : CheckedClassifier
        The adapted model, with the classes of `model`.

    Raises
    ------
    ValueError
        If inputs are inconsistent, or if a label is not a class of the model.

    Notes
    -----
    Recalibration helps if the probabilities are too high or too low, for example because one class
    is more frequent. In tests on real clips, it increased the log loss by less than .004. With up
    to 160 real clips, a model that was trained only on them had a higher log loss. With 500 real
    clips, the average of both models had the same log loss as the new model. With 500 simulated
    clips, its log loss was lower than that of the new model and slightly higher than that of the
    recalibrated model.

    Examples
    --------
    >>> from smilefusion import adapt, load_pretrained
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(40, fps=30, random_state=0)
    >>> adapted = adapt(load_pretrained(), smiles.clips, smiles.target)
    >>> adapted.calibration_.shape
    (2,)
    """
    labels = np.asarray(y)
    are_classes = set(labels.ravel().tolist()) <= set(model.classes_.tolist())
    if not are_classes and labels.dtype.kind in "biuf" and np.isin(labels, (0, 1)).all():
        labels = model.classes_[labels.astype(int)]
    adapted = deepcopy(model).recalibrate(X, labels)
    if len(labels) < N_FULL_FIT:
        return adapted
    own = make_smile_classifier(random_state=0)
    members = [("adapted", FrozenEstimator(adapted)), ("own", own)]
    new = CheckedClassifier(
        VotingClassifier(members, voting="soft"),
        checker=None if model.checker is None else clone(model.checker),
        prior_strength=model.prior_strength,
        level=model.level,
    )
    return new.fit(X, labels, groups)
