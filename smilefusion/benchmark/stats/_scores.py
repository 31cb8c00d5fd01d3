"""Scores of out-of-fold predictions with confidence intervals clustered by subject."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from smilefusion.benchmark.stats._intervals import (
    bootstrap_interval,
    calibration_interval,
    studentized_interval,
)
from smilefusion.benchmark.stats._metrics import (
    METRICS,
    SELECTIVE_METRICS,
    ClipOutcomes,
    calibration_gaps,
    log_losses,
)
from smilefusion.benchmark.stats._protocol_labels import TABLE_KEYS, with_protocol

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


def score_predictions(
    predictions: pd.DataFrame,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Score out-of-fold predictions, with confidence intervals clustered by subject.

    Clips of one subject are not independent, and an interval that ignores this is too narrow.
    Therefore the bootstrap draws whole subjects with all their clips. All estimators of a data set
    share the same draws.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy predictions as returned by `run_benchmark`: one row per estimator, repeat
        and clip with the columns ``dataset``, ``estimator``, ``repeat``, ``fold``,
        ``clip``, ``group``, ``target``, ``prediction``, and one column
        ``probability_<class>`` per class. Without a column ``protocol``, the protocol is
        "honest".
    n_resamples : int, default=2000
        Number of bootstrap samples of the subjects.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    scores : pandas.DataFrame
        One row per protocol, data set and estimator, in their order of appearance:
        ``protocol``, ``dataset``, ``estimator``, ``n_clips``, ``n_groups``, and for each of
        ``balanced_accuracy``, ``roc_auc``, ``log_loss`` (nats), ``accuracy``, ``brier_score``
        and ``calibration_error`` the score over all clips and the ends of its interval,
        ``<metric>_low`` and ``<metric>_high``. An estimator that failed on some clips has NaN
        for all scores, because they would not cover the same clips as the other scores. If an
        estimator abstains (predicts something other than a class), two metrics follow:
        ``answered``, the coverage, and ``accuracy_answered``, the accuracy on the answered clips.

    Raises
    ------
    ValueError
        If a column is missing, a clip occurs twice in a repeat, estimators were not tested on
        the same clips, there is only one subject or one class, a probability is outside 0 to 1,
        or a parameter is out of range.

    Notes
    -----
    All scores are pooled over folds and repeats. An unanswered clip counts as wrong in accuracy
    and balanced accuracy; the other scores use its probabilities.

    **Balanced accuracy** is the mean recall of the classes. The **Brier score** is the mean
    squared error of the probability of the second of two classes; for more classes, the squared
    errors are summed. The **area under the ROC curve** is the share of pairs (one clip of the
    class, one of another) that the probability orders correctly; ties count half. Only pairs
    **within** a fold count: pairs across folds would compare the scales of two models and put a
    constant predictor below one half [3]_. If no fold has a pair, the area is NaN. The
    **calibration error** is the expected calibration error [4]_ with ten bins of equal mass
    [5]_: the mean over clips of the absolute difference between the share of the class and the
    mean probability in their bin. Even perfect probabilities have a positive error by chance:
    near one half, about 1.3 / sqrt(n_clips). For more than two classes, area and calibration
    error are the means over all one-vs-rest problems.

    Intervals come from the cluster bootstrap [1]_ [2]_. Balanced accuracy, area, accuracy and
    Brier score have the bias-corrected and accelerated interval [6]_, with tails widened as
    Student's t widens the normal distribution, which keeps coverage with few subjects [7]_. The
    **log loss** has no upper bound, and a few confident errors dominate it. It has the bootstrap-t
    interval [7]_ [8]_ with linearized standard errors, which extends the upper side. With two or
    three subjects, too many draws have no spread, and this interval is infinite. The **calibration
    error** is biased upwards by chance. Its lower end comes from test inversion [9]_: the smallest
    error, with gaps in the observed proportions, for which chance could reach the score. Its upper
    end is that of the bootstrap minus the bias of the bootstrap. Draws without a subject of some
    class, where a score is undefined, are ignored. The intervals account for the choice of test
    subjects, but not for the choice of training subjects.

    References
    ----------
    .. [1] C. A. Field and A. H. Welsh, "Bootstrapping clustered data", Journal of the
       Royal Statistical Society: Series B 69(3), 2007.
    .. [2] S. Ren et al., "Nonparametric bootstrapping for hierarchical data", Journal of
       Applied Statistics 37(9), 2010.
    .. [3] B. J. Parker, S. Günter and J. Bedo, "Stratification bias in low signal
       microarray studies", BMC Bioinformatics 8, 2007.
    .. [4] M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated
       probabilities using Bayesian binning", AAAI, 2015.
    .. [5] K. Nguyen and B. O'Connor, "Posterior calibration and exploratory analysis for
       natural language processing models", EMNLP, 2015.
    .. [6] B. Efron, "Better bootstrap confidence intervals", Journal of the American
       Statistical Association 82(397), 1987.
    .. [7] T. C. Hesterberg, "What teachers should know about the bootstrap", The American
       Statistician 69(4), 2015.
    .. [8] B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", Chapman & Hall,
       1993, section 12.5.
    .. [9] J. Carpenter, "Test inversion bootstrap confidence intervals", Journal of the Royal
       Statistical Society: Series B 61(1), 1999.

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
    check_bootstrap(n_resamples, confidence)
    predictions = with_protocol(predictions)
    check_predictions(predictions)
    metrics = [*METRICS, *(SELECTIVE_METRICS if find_abstentions(predictions).any() else ())]
    rows = []
    for (protocol, dataset), records in predictions.groupby(list(TABLE_KEYS), sort=False):
        classes = list_classes(records)
        groups = np.unique(records["group"].to_numpy())
        counts = subject_counts(len(groups), n_resamples, random_state)
        for estimator, part in records.groupby("estimator", sort=False):
            row = {
                "protocol": protocol,
                "dataset": dataset,
                "estimator": estimator,
                "n_clips": part["clip"].nunique(),
                "n_groups": len(groups),
            }
            rows.append(row | _score(part, metrics, classes, groups, counts, confidence))
    return pd.DataFrame(rows)


def _score(
    part: pd.DataFrame,
    metrics: list[str],
    classes: list[str],
    groups: np.ndarray,
    counts: np.ndarray,
    confidence: float,
) -> dict[str, float]:
    """Return scores and interval ends of one estimator."""
    names = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    outcomes = collect_outcomes(part, classes, groups)
    if np.isnan(outcomes.probability).any():
        return dict.fromkeys(names, np.nan)
    scores = [measure_metric(metric, outcomes, counts, confidence) for metric in metrics]
    return dict(zip(names, np.ravel(scores), strict=True))


def measure_metric(
    metric: str, outcomes: ClipOutcomes, counts: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Return a metric and its interval; the Notes of `score_predictions` explain the kinds."""
    n_subjects = counts.shape[1]
    drawn = counts[:-n_subjects]
    if metric == "log_loss":
        losses = log_losses(outcomes)
        sums, sizes = (
            outcomes.sum_subjects(each, n_subjects) for each in (losses, np.ones(len(losses)))
        )
        ends = np.maximum(studentized_interval(sums, sizes, drawn, confidence), 0)
        return losses.mean(), *ends
    if metric == "calibration_error":
        gaps = calibration_gaps(outcomes, drawn)
        return np.abs(gaps[0]).sum(), *calibration_interval(gaps, n_subjects, confidence)
    measure = (METRICS | SELECTIVE_METRICS)[metric]
    values = measure(outcomes, counts)  # of all subjects, the draws, and without each subject
    score, draws, left_out = values[0], values[1:-n_subjects], values[-n_subjects:]
    return score, *bootstrap_interval(score, draws, left_out, confidence)


def collect_outcomes(part: pd.DataFrame, classes: list[str], groups: np.ndarray) -> ClipOutcomes:
    """Return the predictions of one estimator as arrays."""
    truth = part["target"].astype(str)
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in classes]
    return ClipOutcomes(
        target=pd.Index(classes).get_indexer(pd.Index(truth)),
        correct=(truth == _label_texts(part["prediction"], classes)).to_numpy(),
        probability=part[columns].to_numpy(dtype=float),
        subject=pd.Index(groups).get_indexer(part["group"]),
        cell=part.groupby(["repeat", "fold"]).ngroup().to_numpy(),
        answered=~find_abstentions(part),
    )


def find_abstentions(predictions: pd.DataFrame) -> np.ndarray:
    """Return a mask of the predictions that are abstentions instead of classes."""
    labels = predictions["prediction"]
    classes = [
        name.removeprefix(PROBABILITY_PREFIX)
        for name in predictions.columns
        if name.startswith(PROBABILITY_PREFIX)
    ]
    return (labels.notna() & ~_label_texts(labels, classes).isin(classes)).to_numpy()


def _label_texts(labels: pd.Series, classes: list[str]) -> pd.Series:
    """Return labels as text; a CSV file with missing values turns the label 1 into 1.0."""
    texts = labels.astype(str)
    return texts.where(texts.isin(classes), texts.str.removesuffix(".0"))


def subject_counts(
    n_subjects: int, n_resamples: int, random_state: int | np.random.RandomState | None
) -> np.ndarray:
    """Return the weights of subjects: all ones, then the draws, then all but one subject."""
    rng = check_random_state(random_state)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_resamples)
    return np.vstack([np.ones(n_subjects), drawn, 1 - np.eye(n_subjects)])


def list_classes(records: pd.DataFrame) -> list[str]:
    """Return the names of the classes in the order of their probability columns."""
    columns = [name for name in records.columns if name.startswith(PROBABILITY_PREFIX)]
    filled = [name for name in columns if records[name].notna().any()]
    classes = [name.removeprefix(PROBABILITY_PREFIX) for name in filled or columns]
    present = set(records["target"].astype(str))
    dataset = records["dataset"].iloc[0]
    if len(present) < 2:
        raise ValueError(
            f"The predictions on {dataset!r} have only the class {present.pop()!r}, but scores "
            "need at least two. Score all folds together."
        )
    if not present <= set(classes):
        raise ValueError(
            f"The predictions on {dataset!r} have the classes {sorted(present)}, but "
            f"probability columns for {classes} only. Add one column per class."
        )
    return [name for name in classes if name in present]


def check_bootstrap(n_resamples: int, confidence: float) -> None:
    """Raise if parameters of the bootstrap are out of range."""
    if not (isinstance(n_resamples, (int, np.integer)) and n_resamples >= 1):
        raise ValueError(f"n_resamples must be an integer of at least 1; got {n_resamples!r}.")
    check_confidence(confidence)


def check_confidence(confidence: float) -> None:
    """Raise if the confidence is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; got {confidence!r}.")


def check_predictions(predictions: pd.DataFrame) -> None:
    """Raise if a table of predictions cannot be scored."""
    missing = [name for name in REQUIRED_COLUMNS if name not in predictions.columns]
    if missing:
        raise ValueError(
            f"The predictions have no columns {missing}, but they need all of "
            f"{list(REQUIRED_COLUMNS)}. Pass the table that run_benchmark returns."
        )
    if len(predictions) == 0:
        raise ValueError("The predictions are empty. Run at least one estimator.")
    probability = predictions.filter(regex=f"^{PROBABILITY_PREFIX}")
    if ((probability < 0) | (probability > 1)).any(axis=None):
        raise ValueError(
            "The predictions contain a probability outside 0 to 1. Check the estimators."
        )
    for (_, dataset), records in predictions.groupby(list(TABLE_KEYS), sort=False):
        _check_same_clips(dataset, records)
        if records["group"].nunique() < 2:
            raise ValueError(
                f"The predictions on {dataset!r} come from one subject, but an interval over "
                "subjects needs at least two. Test on more subjects."
            )


def _check_same_clips(dataset: Any, records: pd.DataFrame) -> None:
    """Raise unless every estimator has every clip of every repeat exactly once."""
    key = ["estimator", "repeat", "clip"]
    twice = records.duplicated(key)
    if twice.any():
        estimator, repeat, clip = records.loc[twice, key].iloc[0]
        raise ValueError(
            f"Clip {clip!r} of {dataset!r} occurs more than once for estimator {estimator!r} in "
            f"repeat {repeat}, but it must occur once. Remove the duplicates."
        )
    n_rows = records.groupby("estimator", sort=False).size()
    expected = len(records[["repeat", "clip"]].drop_duplicates())
    if (n_rows != expected).any():
        short = n_rows[n_rows != expected].index[0]
        raise ValueError(
            f"Estimator {short!r} has {n_rows[short]} predictions on {dataset!r}, but "
            f"{expected} clips and repeats were tested. Test all estimators on the same clips."
        )
