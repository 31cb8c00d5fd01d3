"""Small fitted models of every class that model files hold, for the tests of persistence."""

from functools import cache

import numpy as np
import pandas as pd
import scipy.stats
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from smilefusion import (
    AbstainingClassifier,
    CheckedClassifier,
    DeepFeatureExtractor,
    DistributionChecker,
    DMarkerTransformer,
    FusionClassifier,
    HadaSmileNetClassifier,
    SignalMarkerTransformer,
    make_fusion_pipeline,
    make_smile_classifier,
)
from smilefusion.clips import check_signals
from smilefusion.datasets import make_smiles
from smilefusion.nn import FUSIONS

_BRIEF = {"max_epochs": 1, "random_state": 0}
_SMALL = {"embedding_dim": 8, "n_frames": 4, "patience": None, **_BRIEF}
_NET = {**_SMALL, "hidden_dim": 8, "fps": 25}


def make_table(n_classes=2):
    """Return a table with a missing value, and labels that are words."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6))
    y = np.digitize(X[:, 0] + X[:, 1], [0] if n_classes == 2 else [-0.5, 0.5])
    return X, np.array(["posed", "spontaneous", "unsure"])[y]


def make_clips():
    """Return eight simulated clips and their classes."""
    smiles = make_smiles(8, n_subjects=4, fps=25, random_state=0)
    return smiles.clips, smiles.target


def make_signals():
    """Return two signals of four clips and their classes."""
    smile = np.interp(np.arange(60), [10, 25, 35, 50], [0, 3, 3, 0])
    arrays = [np.column_stack([scale * smile, smile]) for scale in (0.5, 1, 1.5, 2)]
    return check_signals(arrays, signals=["AU06_r", "AU12_r"], fps=25), np.array([0, 1, 0, 1])


def make_images():
    """Return four clips of images and their classes."""
    clips = [np.full((2, 8, 8, 3), 30 * index, dtype=np.uint8) for index in range(4)]
    return clips, np.array([0, 1, 0, 1])


def _fusion(**params):
    return FusionClassifier(**{"hidden_dim": 8, "n_members": 2, **_BRIEF, **params})


def _search(estimator, **params):
    grid = {"logisticregression__C": [0.1, 1.0]}
    return GridSearchCV(estimator, grid, **{"cv": 2, **params})


def _logistic():
    return make_pipeline(StandardScaler(), LogisticRegression())


def _columns():
    parts = [
        ("scaled", StandardScaler(), ["a", "b"]),
        ("kept", "passthrough", make_column_selector(pattern="[cd]")),
        ("gone", "drop", ["e"]),
    ]
    return ColumnTransformer(parts, remainder=MinMaxScaler()).set_output(transform="pandas")


TABLES = {
    **{f"fusion {key}": lambda key=key: _fusion(fusion=key) for key in FUSIONS},
    "fusion of columns": lambda: _fusion(
        deep=slice(0, 3), dmarker=[3, 4], net_params={"module__dtype": "float64"}
    ),
    "fusion with an optimiser": lambda: _fusion(
        net_params={"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
    ),
    "fusion with a random state": lambda: _fusion(random_state=np.random.RandomState(3)),
    "fusion with weights of classes": lambda: _fusion(
        class_weight={"posed": 1.0, "spontaneous": 2.0}, patience=10
    ),
    "scaler": StandardScaler,
    "scaler without mean": lambda: StandardScaler(with_mean=False, with_std=False),
    "min and max": MinMaxScaler,
    "max abs": MaxAbsScaler,
    "robust": RobustScaler,
    "power": PowerTransformer,
    "quantile": lambda: QuantileTransformer(n_quantiles=10),
    "normalizer": Normalizer,
    "function": lambda: FunctionTransformer(np.tanh),
    "imputer": lambda: SimpleImputer(add_indicator=True),
    "imputer of neighbours": lambda: KNNImputer(add_indicator=True),
    "principal components": lambda: PCA(3, random_state=0),
    "variance": lambda: VarianceThreshold(0.1),
    "best columns": lambda: SelectKBest(k=2),
    "logistic": LogisticRegression,
    "ridge": RidgeClassifier,
    "linear svc": LinearSVC,
    "svc": SVC,
    "linear discriminant": LinearDiscriminantAnalysis,
    "naive Bayes": GaussianNB,
    "dummy": DummyClassifier,
    "pipeline": _logistic,
    "union": lambda: make_pipeline(
        FeatureUnion([("scaled", StandardScaler()), ("largest", MaxAbsScaler())]),
        LogisticRegression(),
    ),
    "calibrated by sigmoids": lambda: CalibratedClassifierCV(_logistic(), cv=2),
    "calibrated by isotonic": lambda: CalibratedClassifierCV(
        GaussianNB(), cv=2, method="isotonic"
    ),
    "calibrated by temperature": lambda: CalibratedClassifierCV(
        LogisticRegression(), cv=2, method="temperature"
    ),
    "calibrated fusion": lambda: CalibratedClassifierCV(_fusion(), cv=2),
    "calibrated and frozen": lambda: CalibratedClassifierCV(
        FrozenEstimator(LogisticRegression().fit(*make_table()))
    ),
    "calibrated by subjects": lambda: CalibratedClassifierCV(
        _fusion(), cv=list(KFold(2).split(np.arange(40)))
    ),
    "abstaining": lambda: AbstainingClassifier(_logistic(), error_rate=0.3, cv=2),
    "abstaining by sets": lambda: AbstainingClassifier(
        CalibratedClassifierCV(_fusion(), cv=2), cv=2, method="conformal", abstain_label="?"
    ),
    "grid search": lambda: _search(_logistic(), scoring="roc_auc"),
    "search of strategies": lambda: GridSearchCV(
        _fusion(), {"fusion": ["concat", "film"]}, cv=2, scoring="neg_log_loss"
    ),
    "grid search of parts": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc": [SVC(C=2.0), GaussianNB()], "standardscaler": ["passthrough", StandardScaler()]},
        cv=2,
    ),
    "grid search of tuples": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), RobustScaler(), LogisticRegression()),
        {"robustscaler__quantile_range": [(10.0, 90.0), (25.0, 75.0)]},
        cv=2,
    ),
    "grid search by two scores": lambda: _search(
        _logistic(), scoring=["accuracy", "neg_log_loss"], refit="accuracy"
    ),
    "random search": lambda: RandomizedSearchCV(
        _fusion(),
        {"lr": scipy.stats.loguniform(1e-4, 1e-2), "hidden_dim": [4, 8]},
        n_iter=2,
        cv=StratifiedKFold(2),
        random_state=0,
    ),
}
THREE_CLASSES = (
    *("fusion hadamard", "calibrated by temperature", "calibrated by isotonic"),
    *("abstaining", "svc", "logistic", "ridge"),
)
SPLITTERS = {
    type(splitter).__name__: splitter
    for splitter in (
        *(KFold(2), StratifiedKFold(2), GroupKFold(2), StratifiedGroupKFold(2)),
        *(ShuffleSplit(2), StratifiedShuffleSplit(2), GroupShuffleSplit(2)),
        *(LeaveOneOut(), LeaveOneGroupOut(), PredefinedSplit(np.arange(40) % 2)),
    )
}
CLIPS = {
    "dmarkers": lambda: DMarkerTransformer(fps=25),
    "dmarkers as published": lambda: DMarkerTransformer(definition="hadasmilenet"),
    "deep": lambda: DeepFeatureExtractor(fps=25, **_SMALL),
    "deep without labels": lambda: DeepFeatureExtractor(objective="reconstruction", **_SMALL),
    "deep frozen": lambda: DeepFeatureExtractor(objective="frozen", **_SMALL),
    "deep curvenet": lambda: DeepFeatureExtractor(
        "curvenet",
        net_params={"module__depth": 2, "module__time_depth": 1, "module__n_curves": 8},
        **_SMALL | {"n_frames": 2},
    ),
    "deep timm": lambda: DeepFeatureExtractor("test_resnet", **_SMALL),
    "deep timm frozen": lambda: DeepFeatureExtractor("test_vit", objective="frozen", **_SMALL),
    "net": lambda: HadaSmileNetClassifier(**_NET),
    "net of deeper encoder": lambda: HadaSmileNetClassifier(
        net_params={"module__depth": 1}, **_NET
    ),
    "net with a second task": lambda: HadaSmileNetClassifier(
        dmarkers="auxiliary", net_params={"criterion__weight": 0.3}, **_NET
    ),
    "net without D-Markers": lambda: HadaSmileNetClassifier(dmarkers="none", **_NET),
    "net of windows": lambda: HadaSmileNetClassifier(windows={"n_windows": 2}, **_NET),
    "net as published": lambda: HadaSmileNetClassifier(
        encoder="curvenet",
        windows={"n_windows": 1, "dmarkers": True, "coordinate_range": [[-3.0] * 3, [3.0] * 3]},
        net_params={"module__depth": 2, "module__time_depth": 1, "module__published_start": True},
        **_NET | {"n_frames": 2},
    ),
    "net of own D-Markers": lambda: HadaSmileNetClassifier(
        encoder="test_vit",
        dmarker_transformer=DMarkerTransformer(fps=25, smoothing="median"),
        net_params={"module__mixed_precision": True},
        **_NET,
    ),
    "fusion pipeline": lambda: make_fusion_pipeline(fps=25, random_state=0).set_params(
        fusion__n_members=2,
        fusion__max_epochs=1,
        fusion__hidden_dim=8,
    ),
    "smile classifier": lambda: make_smile_classifier(fps=25, random_state=0).set_params(
        vote__network__n_members=2,
        vote__network__max_epochs=1,
        vote__network__hidden_dim=8,
    ),
    "calibrated net": lambda: CalibratedClassifierCV(HadaSmileNetClassifier(**_NET), cv=2),
    "abstaining pipeline": lambda: AbstainingClassifier(
        make_pipeline(DMarkerTransformer(fps=25), GaussianNB()), cv=2, error_rate=0.9
    ),
    "checked pipeline": lambda: CheckedClassifier(
        make_pipeline(DMarkerTransformer(fps=25), GaussianNB()), level=0.8
    ),
    "distribution": lambda: DistributionChecker(fps=25),
    "distribution without a frame rate": lambda: DistributionChecker(contamination=0.1),
    "dmarkers and svc": lambda: make_pipeline(
        DMarkerTransformer(fps=25), StandardScaler(), SVC(kernel="linear")
    ),
}
SIGNALS = {
    "signal markers": lambda: SignalMarkerTransformer(
        ["AU06_r", "both"],
        phases="AU12_r",
        sides={"both": ("AU06_r", "AU12_r")},
        windows={"AU06_r": 0.3},
    ),
}
IMAGES = {
    "deep images": lambda: DeepFeatureExtractor("test_vit", **_SMALL),
    "deep images frozen": lambda: DeepFeatureExtractor("test_vit", objective="frozen", **_SMALL),
}


@cache
def fit_example(name):
    """Return a fitted model and the inputs that it predicts."""
    for models, make in ((CLIPS, make_clips), (SIGNALS, make_signals), (IMAGES, make_images)):
        if name in models:
            X, y = make()
            return models[name]().fit(X, y), X
    if name == "columns":
        X, y = make_table()
        X = pd.DataFrame(X, columns=list("abcdef"))
        return make_pipeline(_columns(), LogisticRegression()).fit(X, y), X
    name, is_of_three, _ = name.partition(" of three")
    X, y = make_table(3 if is_of_three else 2)
    if "imputer" in name:
        X[::7, 0] = np.nan
    return TABLES[name]().fit(X, y), X


EXAMPLES = [
    *TABLES,
    *(f"{name} of three" for name in THREE_CLASSES),
    "columns",
    *CLIPS,
    *SIGNALS,
    *IMAGES,
]


def outputs(model, X):
    """Return everything that a model says of its inputs, by method."""
    methods = ("predict", "predict_proba", "decision_function", "transform")
    return {name: getattr(model, name)(X) for name in methods if hasattr(model, name)}
