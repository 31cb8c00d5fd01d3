"""The only classes and functions that model files name, and what each class may hold."""

import inspect
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType

from smilefusion.exceptions import InvalidDataError

_OUR = "smilefusion.estimators"
_COMMON = {"n_features_in_": "i*", "feature_names_in_": "s[F]*"}
_SPLIT = "x*"  # of `smilefusion._training._splits.describe_split`; older files have none
_CACHE = {"n_jobs": None}
# Parameters that belong to the machine or the training run, and what stands in for them.
_RUN = {"callbacks": None}
_START = {**_RUN, "weights": None}
_STORE = {"cache": None}


@dataclass(frozen=True)
class Part:
    """A class that model files may name.

    `learned` gives the form of each learned attribute, see `smilefusion._model_files._forms`;
    `forgotten` are parameters that belong to the machine or the training run: they are left out
    and take these values. Attributes in `derived` are computed anew. A `plain` class has
    parameters and no learned attributes.
    """

    module: str
    learned: dict = field(default_factory=dict)
    forgotten: dict = field(default_factory=dict)
    derived: tuple = ()
    has_network: bool = False
    plain: bool = False

    def forms(self):
        """Return the forms of all attributes that instances may have."""
        return {} if self.plain else {**_COMMON, **self.learned}


def _splitter():
    return Part("sklearn.model_selection", plain=True)


_LINEAR = {"classes_": "l[C]", "coef_": "f[K,F]", "intercept_": "f[K]"}


def _search(module):
    attributes = {
        "n_splits_": "i",
        "multimetric_": "b",
        "best_index_": "i*",
        "best_score_": "f*",
        "best_params_": "x*",
        "best_estimator_": "<>*",
        "refit_time_": "f*",
        "cv_results_": "x*",
    }
    return Part(module, attributes, _CACHE, derived=("scorer_", "_checked_cv_orig"))


PARTS = {
    "DMarkerTransformer": Part(
        "smilefusion.dmarkers._transformer", {"n_features_out_": "i"}, _STORE
    ),
    "DeepFeatureExtractor": Part(
        f"{_OUR}._deep_features",
        {
            "split_": _SPLIT,
            "device_": "s*",
            "input_": "s",
            "classes_": "l[C]*",
            "n_landmarks_": "i*",
            "n_dims_": "i*",
            "offset_": "f|f[D]*",
            "scale_": "f|f[D]*",
            "_n_features_out": "i",
        },
        {**_START, **_STORE},
        has_network=True,
    ),
    "FusionClassifier": Part(
        f"{_OUR}._fusion_classifier",
        {
            "split_": _SPLIT,
            "device_": "s*",
            "classes_": "l[C]",
            "deep_columns_": "i[A]",
            "dmarker_columns_": "i[B]",
        },
        _RUN,
        has_network=True,
    ),
    "HadaSmileNetClassifier": Part(
        f"{_OUR}._hadasmilenet",
        {
            "split_": _SPLIT,
            "device_": "s*",
            "classes_": "l[C]",
            "n_landmarks_": "i",
            "n_dims_": "i",
            "offset_": "f[D]",
            "scale_": "f[D]",
            "dmarker_transformer_": "<DMarkerTransformer>|none",
            "dmarker_scaler_": "<StandardScaler>|none",
        },
        {**_START, "compile": False},
        has_network=True,
    ),
    "AbstainingClassifier": Part(
        "smilefusion.reliability._abstention",
        {"classes_": "l[C]", "estimators_": "x", "threshold_": "f", "abstain_label_": "i|f|s"},
        _CACHE,
    ),
    "DistributionChecker": Part(
        "smilefusion.reliability._distribution",
        {
            **dict.fromkeys(("lower_", "upper_", "width_"), "f[R]"),
            "n_landmarks_": "i",
            "n_dims_": "i",
        },
    ),
    "Pipeline": Part("sklearn.pipeline", {}, {"memory": None}),
    "FusionPipeline": Part(f"{_OUR}._pipeline", {}, {"memory": None}),
    "FeatureUnion": Part("sklearn.pipeline", {}, _CACHE),
    "ColumnTransformer": Part(
        "sklearn.compose",
        {
            "transformers_": "x",
            "_columns": "x",
            "_transformer_to_input_indices": "x",
            "_remainder": "x",
            "sparse_output_": "b",
            "output_indices_": "x",
            "_transformers_feature_names_out": "s[.]*",
            "_name_to_fitted_passthrough": "x*",
            "_n_features": "i*",
        },
        _CACHE,
    ),
    "make_column_selector": Part("sklearn.compose", plain=True),
    "StandardScaler": Part(
        "sklearn.preprocessing",
        {
            "mean_": "f[F]|none",
            "var_": "f[F]|none",
            "scale_": "f[F]|none",
            "n_samples_seen_": "i|f|i[F]",
        },
    ),
    "MinMaxScaler": Part(
        "sklearn.preprocessing",
        {
            **dict.fromkeys(("scale_", "min_", "data_min_", "data_max_", "data_range_"), "f[F]"),
            "n_samples_seen_": "i",
        },
    ),
    "MaxAbsScaler": Part(
        "sklearn.preprocessing", {"max_abs_": "f[F]", "scale_": "f[F]", "n_samples_seen_": "i"}
    ),
    "RobustScaler": Part("sklearn.preprocessing", {"center_": "f[F]|none", "scale_": "f[F]|none"}),
    "PowerTransformer": Part(
        "sklearn.preprocessing", {"lambdas_": "f[F]", "_scaler": "<StandardScaler>*"}
    ),
    "QuantileTransformer": Part(
        "sklearn.preprocessing",
        {"n_quantiles_": "i", "references_": "f[Q]", "quantiles_": "f[Q,F]"},
    ),
    "Normalizer": Part("sklearn.preprocessing"),
    "FunctionTransformer": Part("sklearn.preprocessing"),
    "LabelBinarizer": Part(
        "sklearn.preprocessing",
        {"classes_": "l[C]", "y_type_": "s", "sparse_input_": "b"},
    ),
    "SimpleImputer": Part(
        "sklearn.impute",
        {
            "statistics_": "f[F]|o[F]",
            "indicator_": "<MissingIndicator>|none",
            "_fit_dtype": "x*",
            "_fill_dtype": "x*",
        },
    ),
    "KNNImputer": Part(
        "sklearn.impute",
        {
            "_fit_X": "f[N,F]",
            "_mask_fit_X": "b[N,F]",
            "_valid_mask": "b[F]",
            "indicator_": "<MissingIndicator>|none",
        },
    ),
    "MissingIndicator": Part(
        "sklearn.impute", {"features_": "i[.]", "_n_features": "i", "_precomputed": "b"}
    ),
    "PCA": Part(
        "sklearn.decomposition",
        {
            "components_": "f[N,F]",
            "mean_": "f[F]",
            **dict.fromkeys(
                ("explained_variance_", "explained_variance_ratio_", "singular_values_"), "f[N]"
            ),
            "noise_variance_": "f",
            "n_components_": "i",
            "n_samples_": "i",
            "_fit_svd_solver": "s",
        },
    ),
    "VarianceThreshold": Part("sklearn.feature_selection", {"variances_": "f[F]"}),
    "SelectKBest": Part(
        "sklearn.feature_selection", {"scores_": "f[F]", "pvalues_": "f[F]|none*"}
    ),
    "LogisticRegression": Part("sklearn.linear_model", {**_LINEAR, "n_iter_": "i[.]"}, _CACHE),
    "RidgeClassifier": Part(
        "sklearn.linear_model",
        {
            **_LINEAR,
            "classes_": "l[C]*",
            "coef_": "f[K,F]|f[F]",
            "intercept_": "f|f[K]",
            "n_iter_": "none|i[.]",
            "solver_": "s*",
            "_label_binarizer": "<LabelBinarizer>",
        },
    ),
    "LinearSVC": Part("sklearn.svm", {**_LINEAR, "intercept_": "f|f[K]", "n_iter_": "i"}),
    "SVC": Part(
        "sklearn.svm",
        {
            "nu": "f*",
            "epsilon": "f*",
            "_sparse": "b",
            "class_weight_": "f[C]",
            "classes_": "l[C]",
            "_effective_probability": "b*",
            "_gamma": "f",
            "support_": "i[V]",
            "support_vectors_": "f[V,F]",
            "_n_support": "i[C]",
            "dual_coef_": "f[R,V]",
            "_dual_coef_": "f[R,V]",
            "intercept_": "f[K]",
            "_intercept_": "f[K]",
            "_probA": "f[P]",
            "_probB": "f[P]",
            "fit_status_": "i",
            "_num_iter": "i|i[.]",
            "n_iter_": "i|i[.]*",
            "shape_fit_": "x",
        },
    ),
    "LinearDiscriminantAnalysis": Part(
        "sklearn.discriminant_analysis",
        {
            **_LINEAR,
            "priors_": "f[C]",
            "means_": "f[C,F]",
            "xbar_": "f[F]*",
            "covariance_": "f[F,F]*",
            "explained_variance_ratio_": "f[.]*",
            "scalings_": "f[F,.]*",
            "_max_components": "i",
            "_n_features_out": "i*",
        },
    ),
    "GaussianNB": Part(
        "sklearn.naive_bayes",
        {
            "classes_": "l[C]",
            "epsilon_": "f",
            "theta_": "f[C,F]",
            "var_": "f[C,F]",
            "class_count_": "f[C]",
            "class_prior_": "f[C]",
        },
    ),
    "DummyClassifier": Part(
        "sklearn.dummy",
        {
            "_strategy": "s",
            "sparse_output_": "b",
            "n_outputs_": "i",
            "classes_": "l[C]",
            "n_classes_": "i",
            "class_prior_": "f[C]",
        },
    ),
    "CalibratedClassifierCV": Part(
        "sklearn.calibration", {"classes_": "l[C]", "calibrated_classifiers_": "x"}, _CACHE
    ),
    "_CalibratedClassifier": Part("sklearn.calibration", plain=True),
    "_SigmoidCalibration": Part("sklearn.calibration", {"a_": "f", "b_": "f"}),
    "_TemperatureScaling": Part("sklearn.calibration", {"beta_": "f"}),
    "IsotonicRegression": Part(
        "sklearn.isotonic",
        {
            "increasing_": "b",
            "X_min_": "f",
            "X_max_": "f",
            "X_thresholds_": "f[T]",
            "y_thresholds_": "f[T]",
        },
        derived=("f_",),
    ),
    "FrozenEstimator": Part("sklearn.frozen"),
    "GridSearchCV": _search("sklearn.model_selection"),
    "RandomizedSearchCV": _search("sklearn.model_selection"),
    "KFold": _splitter(),
    "StratifiedKFold": _splitter(),
    "GroupKFold": _splitter(),
    "StratifiedGroupKFold": _splitter(),
    "ShuffleSplit": _splitter(),
    "StratifiedShuffleSplit": _splitter(),
    "GroupShuffleSplit": _splitter(),
    "LeaveOneOut": _splitter(),
    "LeaveOneGroupOut": _splitter(),
    "PredefinedSplit": _splitter(),
}
# Functions and types that parameters may be, by module.
_NAMED = {
    "numpy": (
        *("abs", "cbrt", "exp", "expm1", "log", "log10", "log1p", "log2", "nan_to_num", "sqrt"),
        *("square", "tanh", "number", "integer", "floating", "float32", "float64", "int64"),
    ),
    "sklearn.feature_selection": ("chi2", "f_classif", "f_regression", "mutual_info_classif"),
    "torch.optim": (
        *("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
        "SGD",
    ),
}
DISTRIBUTIONS = ("expon", "geom", "loguniform", "norm", "randint", "uniform")


@cache
def named():
    """Return the functions and types that parameters may be, by name."""
    return MappingProxyType(
        {
            f"{module}.{name}": getattr(import_module(module), name)
            for module, names in _NAMED.items()
            for name in names
        }
    )


def find_class(name):
    """Return a class of the list and what it may hold.

    Parameters
    ----------
    name : str
        The class's own name.

    Returns
    -------
    cls : type
        The class.
    part : Part
        What its instances may hold.

    Raises
    ------
    InvalidDataError
        If it is not in the list.
    """
    if not isinstance(name, str) or name not in PARTS:
        raise InvalidDataError(
            f"A model file may hold estimators of smilefusion and {len(PARTS)} classes in all, "
            f"which the guide on model files lists; got {name!r:.80}. Save a model made of them."
        )
    return getattr(import_module(PARTS[name].module), name), PARTS[name]


def is_part(cls):
    """Whether a class is one of the list, and no other of the same name."""
    return cls.__name__ in PARTS and find_class(cls.__name__)[0] is cls


def argument_names(cls):
    """Return the names of a constructor's arguments, which are its instances' parameters."""
    return list(inspect.signature(cls).parameters)
