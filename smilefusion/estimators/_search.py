"""FusionSearchCV: a grid search whose fits are trained together."""

import time
import warnings
from itertools import product
from numbers import Integral

import joblib
from sklearn.base import _fit_context, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.parallel import Parallel, delayed

from smilefusion.estimators._fusion_classifier import FusionClassifier
from smilefusion.estimators._out_of_fold import fit_with_metadata
from smilefusion.estimators._search_jobs import (
    Fold,
    SearchJob,
    make_fold,
    plan_stacks,
    run_stack,
)
from smilefusion.estimators._splits import check_groups
from smilefusion.estimators._stacked_training import why_alone
from smilefusion.exceptions import SlowSearchWarning


class FusionSearchCV(GridSearchCV):
    """Search over strategies and their parameters, with all networks trained together.

    It is `sklearn.model_selection.GridSearchCV` for a `FusionClassifier`, or a pipeline that
    ends with one. Networks of the same form, which differ in fold, seed or learning rate, are
    stacked and trained as one; the steps before the classifier are fitted once a fold for all
    candidates that share their parameters. Each network has the weights, batches and random
    numbers that it would have alone, so that scores agree with those of `GridSearchCV` up to
    rounding, see Notes.

    Parameters
    ----------
    estimator : FusionClassifier or Pipeline
        The classifier, or a pipeline whose last step it is.
    param_grid : dict or list of dict
        Lists of values by parameter name, as `GridSearchCV` takes them, for instance
        ``{"fusion": list_fusions()}``.
    scoring : str, callable, list, tuple, dict or None, default=None
        What to score, as in `GridSearchCV`.
    n_jobs : int or None, default=None
        Number of stacks that are trained at the same time, as in joblib.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all clips; the metric's name where there are
        several.
    cv : int, splitter, iterable or None, default=None
        The folds. `groups` reach the splitter and every fit.
    verbose : int, default=0
        1 prints how many fits there are.
    error_score : "raise" or number, default="raise"
        The score of a fit that failed; "raise" ends the search with its error, where
        `GridSearchCV` goes on by default.
    return_train_score : bool, default=False
        Whether `cv_results_` holds scores of the training parts.
    stack_size : int or None, default=None
        Greatest number of networks in a stack. None: 6 on the CPU, 60 on a GPU; on the CPU
        large networks, which gain nothing, are trained in smaller stacks or alone.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        As of `GridSearchCV`. The fit time of a network is its share of the time of its stack,
        and of the steps before it.
    best_estimator_ : estimator
        The best candidate, fitted to all clips as it would be alone.
    best_score_ : float
        Its mean score.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its place in `cv_results_`.
    n_splits_ : int
        Number of folds.
    multimetric_ : bool
        Whether there are several metrics.
    refit_time_ : float
        Seconds of the last fit.
    scorer_ : callable or dict
        The scorers.

    See Also
    --------
    FusionClassifier : One strategy.

    Notes
    -----
    Rounding differs between a stack and one network, and training magnifies that: a search in
    ``precision="float64"`` gives the scores of `GridSearchCV` to some 1e-6, one in single
    precision moves single test clips across the threshold. The user guide's page on performance
    has the figures. The result does not depend on `n_jobs`.

    Unlike `GridSearchCV`, `groups` reach the early stopping of every fit also where metadata
    routing is off.

    Candidates with `callbacks`, `net_params` or `warm_start`, or a strategy that is a class of
    your own, have nets of their own: they are fitted one after another, and a warning says so.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier, FusionSearchCV
    >>> X, y = make_classification(n_samples=80, n_features=12, random_state=0)
    >>> model = FusionClassifier(
    ...     deep=slice(0, 8), dmarker=slice(8, 12), hidden_dim=8, max_epochs=3, random_state=0
    ... )
    >>> search = FusionSearchCV(model, {"fusion": ["hadamard", "concat"]}, cv=3).fit(X, y)
    >>> search.cv_results_["mean_test_score"].shape
    (2,)
    """

    _parameter_constraints = {
        **GridSearchCV._parameter_constraints,
        "stack_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        error_score="raise",
        return_train_score=False,
        stack_size=None,
    ):
        self.estimator = estimator
        self.param_grid = param_grid
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.verbose = verbose
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.stack_size = stack_size

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Fit and score all candidates, then the best one to all clips.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_features) or sequence of clips
            What the estimator takes.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip, for the splitter and the early stopping of every fit.

        Returns
        -------
        self : FusionSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If the last step is not a `FusionClassifier`, all fits fail, or the folds do not fit
            the data.
        """
        X, y = indexable(X, y)
        groups = check_groups(groups, len(y))
        scorer, metric = self._get_scorers()
        cv = check_cv(self.cv, y, classifier=True)
        splits = list(cv.split(X, y, groups))
        self.n_splits_ = len(splits)
        candidates = list(ParameterGrid(self.param_grid))
        if self.verbose:
            print(f"Fitting {len(splits)} folds for each of {len(candidates)} candidates")
        models = [self._candidate(params) for params in candidates]
        results = self._run(models, candidates, splits, X, y, groups, scorer)
        _warn_or_raise_about_fit_failures(results, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(results, self.error_score)
        self.cv_results_ = self._format_results(candidates, len(splits), results)
        self._choose(results, scorer, metric)
        if self.refit:
            began = time.perf_counter()
            best = self._candidate(self.best_params_)
            self.best_estimator_ = fit_with_metadata(best, X, y, groups)
            self.refit_time_ = time.perf_counter() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _candidate(self, params):
        """Return the unfitted estimator with the parameters of a candidate."""
        return clone(self.estimator).set_params(**clone(params, safe=False))

    def _run(self, models, candidates, splits, X, y, groups, scorer):
        """Return what is recorded of every fit, candidate by candidate."""
        classifiers = [_classifier_of(model) for model in models]
        _warn_of_lonely(classifiers)
        parallel = Parallel(self.n_jobs)
        folds = self._make_folds(models, candidates, splits, X, y, groups, parallel)
        jobs = [
            SearchJob(place, clone(classifiers[candidate]), folds[candidate][split])
            for place, (candidate, split) in enumerate(
                product(range(len(models)), range(len(splits)))
            )
        ]
        options = {"error_score": self.error_score, "return_train_score": self.return_train_score}
        done = parallel(
            delayed(run_stack)(stack, X, y, groups, scorer, **options)
            for stack in plan_stacks(jobs, self.stack_size)
        )
        placed = dict(pair for results in done for pair in results)
        return [placed[place] for place in range(len(jobs))]

    def _make_folds(self, models, candidates, splits, X, y, groups, parallel):
        """Return the folds of each candidate; candidates with the same steps share theirs."""
        if not isinstance(self.estimator, Pipeline):
            return [[Fold(*split) for split in splits]] * len(models)
        last = self.estimator.steps[-1][0]
        keys = [
            joblib.hash({name: value for name, value in params.items() if not _is_of(name, last)})
            for params in candidates
        ]
        steps = {key: model[:-1] for key, model in zip(keys, models, strict=True)}
        made = parallel(
            delayed(make_fold)(clone(each), X, y, groups, *split)
            for each, split in product(steps.values(), splits)
        )
        n_splits = len(splits)
        parts = [made[start : start + n_splits] for start in range(0, len(made), n_splits)]
        shared = dict(zip(steps, parts, strict=True))
        for key, folds in shared.items():
            for fold in folds:
                fold.seconds /= keys.count(key)
        return [shared[key] for key in keys]

    def _choose(self, results, scorer, metric):
        """Choose the best candidate as `GridSearchCV` does."""
        self.multimetric_ = isinstance(results[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(results[0]["test_scores"])
            metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, metric, self.cv_results_)
            if not callable(self.refit):
                self.best_score_ = self.cv_results_[f"mean_test_{metric}"][self.best_index_]
            self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.scorer_ = getattr(scorer, "_scorers", scorer)


def _is_of(name, step):
    """Whether a parameter is of a step, or the step itself."""
    return name == step or name.startswith(f"{step}__")


def _classifier_of(model):
    """Return the classifier at the end of a model; refuse another."""
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if isinstance(last, FusionClassifier):
        return last
    raise ValueError(
        f"FusionSearchCV trains FusionClassifier, alone or as the last step of a pipeline; got "
        f"{type(last).__name__}. Use sklearn.model_selection.GridSearchCV for it."
    )


def _warn_of_lonely(classifiers):
    """Warn of candidates that cannot be stacked."""
    reasons = [reason for each in classifiers if (reason := why_alone(each)) is not None]
    if reasons:
        warnings.warn(
            f"{len(reasons)} of {len(classifiers)} candidates are fitted one after another, since "
            f"their {reasons[0]} needs a net of its own. Leave it out to train them together.",
            SlowSearchWarning,
            stacklevel=4,
        )
