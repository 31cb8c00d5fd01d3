"""Figures of merit of out-of-fold predictions, with intervals clustered by subject."""

import numpy as np
import pandas as pd

METRICS = ("balanced_accuracy", "roc_auc", "log_loss", "accuracy")
PROBABILITY_PREFIX = "probability_"
REQUIRED_COLUMNS = (
    "dataset",
    "estimator",
    "repeat",
    "fold",
    "clip",
    "group",
    "target",
    "prediction",
)


def score_predictions(predictions, *, n_resamples=2000, confidence=0.95, random_state=0):
    """Score out-of-fold predictions, with confidence intervals clustered by subject.

    Clips of one subject are not independent; an interval that ignores it is too narrow.
    Here whole subjects are drawn with replacement, and all clips of a subject come along
    as often as it was drawn. All estimators of a data set see the same draws.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy predictions as `run_benchmark` returns them: one row per estimator, repeat
        and clip with the columns ``dataset``, ``estimator``, ``repeat``, ``fold``,
        ``clip``, ``group``, ``target``, ``prediction``, and one column
        ``probability_<class>`` per class.
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    scores : pandas.DataFrame
        One row per data set and estimator, in their order of appearance: ``dataset``,
        ``estimator``, ``n_clips``, ``n_groups``, and for each of ``balanced_accuracy``,
        ``roc_auc``, ``log_loss`` (nats) and ``accuracy`` the figure over all clips and
        the ends of its interval, ``<metric>_low`` and ``<metric>_high``. An estimator
        that failed on some clip has NaN throughout: its figures would rest on other
        clips than those of its rivals.

    Raises
    ------
    ValueError
        Where a column is missing, a clip occurs twice in a repeat, estimators were not
        run on the same clips, one subject or one class only is left, a probability
        leaves the range from 0 to 1, or a parameter is out of range.

    Notes
    -----
    Accuracy, balanced accuracy (the mean of the classes' recalls) and log loss are pooled
    over all folds and repeats. The area under the ROC curve is the share of pairs (one clip
    of the class, one not of it) that the probability orders rightly, ties counting half,
    over the pairs **within** a fold. Pairs across folds would compare the scales of two
    models, and put a constant predictor below one half, because the class that is rarer in
    training is commoner in testing [3]_. With more than two classes the areas of class
    against rest are averaged. A fold of one class has no pair and is left out; where no fold
    has a pair, the area is NaN.

    The interval is the percentile interval of the cluster bootstrap [1]_ [2]_. Draws in
    which a figure is undefined, since no subject of some class was drawn, are left out of
    its interval. The interval covers the choice of the subjects tested, not that of the
    subjects trained on.

    References
    ----------
    .. [1] C. A. Field and A. H. Welsh, "Bootstrapping clustered data", Journal of the
       Royal Statistical Society: Series B 69(3), 2007.
    .. [2] S. Ren et al., "Nonparametric bootstrapping for hierarchical data", Journal of
       Applied Statistics 37(9), 2010.
    .. [3] B. J. Parker, S. Günter and J. Bedo, "Stratification bias in low signal
       microarray studies", BMC Bioinformatics 8, 2007.

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.benchmark import score_predictions
    >>> predictions = pd.DataFrame({
    ...     "dataset": "toy", "estimator": "coin", "repeat": 0, "fold": 0, "clip": range(4),
    ...     "group": ["a", "a", "b", "b"], "target": [0, 1, 0, 1], "prediction": [0, 1, 0, 0],
    ...     "probability_0": [0.9, 0.2, 0.6, 0.7], "probability_1": [0.1, 0.8, 0.4, 0.3],
    ... })
    >>> scores = score_predictions(predictions)
    >>> scores[["balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high"]]
       balanced_accuracy  balanced_accuracy_low  balanced_accuracy_high
    0               0.75                    0.5                     1.0
    """
    _check_parameters(n_resamples, confidence)
    _check_predictions(predictions)
    rows = []
    for dataset, records in predictions.groupby("dataset", sort=False):
        classes = _classes(records)
        groups = np.unique(records["group"].to_numpy())
        counts = _subject_counts(len(groups), n_resamples, random_state)
        for estimator, part in records.groupby("estimator", sort=False):
            row = {
                "dataset": dataset,
                "estimator": estimator,
                "n_clips": part["clip"].nunique(),
                "n_groups": len(groups),
            }
            rows.append(row | _figures(part, classes, groups, counts, confidence))
    return pd.DataFrame(rows)


def _figures(part, classes, groups, counts, confidence):
    """Figures and interval ends of one estimator."""
    names = [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in classes]
    probability = part[columns].to_numpy(dtype=float)
    if np.isnan(probability).any():
        return dict.fromkeys(names, np.nan)
    samples = _resampled_metrics(
        target=pd.Index(classes).get_indexer(part["target"].astype(str)),
        correct=(part["target"].astype(str) == part["prediction"].astype(str)).to_numpy(),
        probability=probability,
        subject=pd.Index(groups).get_indexer(part["group"]),
        cell=part.groupby(["repeat", "fold"]).ngroup().to_numpy(),
        counts=counts,
    )
    figures = [(sample[0], *_interval(sample[1:], confidence)) for sample in samples.T]
    return dict(zip(names, np.ravel(figures), strict=True))


def _interval(draws, confidence):
    """Return the ends of the percentile interval of the defined draws, NaN without one."""
    defined = draws[~np.isnan(draws)]
    tail = (1 - confidence) / 2
    return np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)


def _resampled_metrics(*, target, correct, probability, subject, cell, counts):
    """Metrics (n_draws, 4) under each row of subject counts (n_draws, n_subjects)."""
    n_subjects, n_classes = counts.shape[1], probability.shape[1]
    eps = np.finfo(float).eps
    chosen = np.clip(probability[np.arange(len(target)), target], eps, 1 - eps)

    per_class = np.zeros((n_subjects, n_classes))
    right_per_class = np.zeros((n_subjects, n_classes))
    np.add.at(per_class, (subject, target), 1)
    np.add.at(right_per_class, (subject, target), correct)
    loss = np.bincount(subject, weights=-np.log(chosen), minlength=n_subjects)

    n_drawn = counts @ per_class
    n_right = counts @ right_per_class
    with np.errstate(divide="ignore", invalid="ignore"):
        balanced_accuracy = (n_right / n_drawn).mean(axis=1)
    n_total = n_drawn.sum(axis=1)
    positives = [1] if n_classes == 2 else range(n_classes)
    auc = [_pairwise_auc(target == k, probability[:, k], subject, cell, counts) for k in positives]
    return np.stack(
        [
            balanced_accuracy,
            np.mean(auc, axis=0),
            counts @ loss / n_total,
            n_right.sum(axis=1) / n_total,
        ],
        axis=1,
    )


def _pairwise_auc(positive, score, subject, cell, counts):
    """Area under the ROC curve (n_draws,) over the pairs within a cell, weighted by counts."""
    concordant = np.zeros(len(counts))
    n_pairs = np.zeros(len(counts))
    for label in np.unique(cell):
        rows = np.flatnonzero(cell == label)
        rows = rows[np.argsort(score[rows], kind="stable")]
        weight = counts[:, subject[rows]]
        ties = np.flatnonzero(np.diff(score[rows], prepend=-np.inf))
        n_positive = np.add.reduceat(weight * positive[rows], ties, axis=1)
        n_negative = np.add.reduceat(weight * ~positive[rows], ties, axis=1)
        below = np.cumsum(n_negative, axis=1) - n_negative / 2
        concordant += (n_positive * below).sum(axis=1)
        n_pairs += n_positive.sum(axis=1) * n_negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return concordant / n_pairs


def _subject_counts(n_subjects, n_resamples, random_state):
    """How often each subject counts: once in the first row, as drawn in the others."""
    if isinstance(random_state, np.random.RandomState):
        rng = random_state
    else:
        rng = np.random.RandomState(random_state)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_resamples)
    return np.vstack([np.ones(n_subjects), drawn]).astype(float)


def _classes(records):
    """Names of the classes in the order of their probability columns."""
    columns = [name for name in records.columns if name.startswith(PROBABILITY_PREFIX)]
    filled = [name for name in columns if records[name].notna().any()]
    classes = [name.removeprefix(PROBABILITY_PREFIX) for name in filled or columns]
    present = set(records["target"].astype(str))
    dataset = records["dataset"].iloc[0]
    if len(present) < 2:
        raise ValueError(
            f"The predictions on {dataset!r} hold the one class {present.pop()!r}; at least two "
            "are needed to score them. Score all folds together."
        )
    if not present <= set(classes):
        raise ValueError(
            f"The predictions on {dataset!r} have the classes {sorted(present)}, but "
            f"probability columns for {classes} only. Add one column per class."
        )
    return [name for name in classes if name in present]


def _check_parameters(n_resamples, confidence):
    """Raise where the bootstrap's parameters are out of range."""
    if not (isinstance(n_resamples, (int, np.integer)) and n_resamples >= 1):
        raise ValueError(f"n_resamples must be an integer of at least 1; got {n_resamples!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; got {confidence!r}.")


def _check_predictions(predictions):
    """Raise where a table of predictions cannot be scored."""
    missing = [name for name in REQUIRED_COLUMNS if name not in predictions.columns]
    if missing:
        raise ValueError(
            f"The predictions lack the columns {missing}; a row needs all of "
            f"{list(REQUIRED_COLUMNS)}. Pass the table that run_benchmark returns."
        )
    if len(predictions) == 0:
        raise ValueError("The predictions are empty; at least one estimator must have run.")
    probability = predictions.filter(regex=f"^{PROBABILITY_PREFIX}")
    if ((probability < 0) | (probability > 1)).any(axis=None):
        raise ValueError(
            "The predictions hold a probability outside 0 to 1; check the estimators."
        )
    for dataset, records in predictions.groupby("dataset", sort=False):
        _check_same_clips(dataset, records)
        if records["group"].nunique() < 2:
            raise ValueError(
                f"The predictions on {dataset!r} come from one subject; an interval over "
                "subjects needs at least two. Test on more subjects."
            )


def _check_same_clips(dataset, records):
    """Raise unless every estimator has every clip of every repeat exactly once."""
    key = ["estimator", "repeat", "clip"]
    twice = records.duplicated(key)
    if twice.any():
        estimator, repeat, clip = records.loc[twice, key].iloc[0]
        raise ValueError(
            f"Clip {clip!r} of {dataset!r} occurs more than once for estimator {estimator!r} in "
            f"repeat {repeat}; each must be predicted once per repeat. Drop the duplicates."
        )
    n_rows = records.groupby("estimator", sort=False).size()
    expected = len(records[["repeat", "clip"]].drop_duplicates())
    if (n_rows != expected).any():
        short = n_rows[n_rows != expected].index[0]
        raise ValueError(
            f"Estimator {short!r} has {n_rows[short]} predictions on {dataset!r}, where "
            f"{expected} clips and repeats were tested; all must be scored on the same ones."
        )
