"""The whole system as one scikit-learn pipeline."""

from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._deep_features import DeepFeatureExtractor
from smilefusion.estimators._encoders import is_backbone
from smilefusion.estimators._fusion_classifier import FusionClassifier
from smilefusion.nn._two_stream import get_fusion

N_DMARKERS = 225


def make_fusion_pipeline(
    fusion="hadamard",
    *,
    encoder="mesh_transformer",
    fps=None,
    memory=None,
    cache=None,
    random_state=None,
):
    """Make the pipeline from clips to classes, with the streams wired to the fusion.

    Its steps are ``features``, a FeatureUnion of ``deep`` (`DeepFeatureExtractor`) and
    ``dmarker`` (`DMarkerTransformer`); ``scale``, a StandardScaler; and ``fusion``, a
    `FusionClassifier`. Both networks stop early on whole subjects of the training clips where
    `groups` reach them.

    Parameters
    ----------
    fusion : str or type, default="hadamard"
        Key of the strategy, see `smilefusion.list_fusions`, or a module class.
    encoder : str, default="mesh_transformer"
        Network of the deep stream, as in `DeepFeatureExtractor`.
    fps : float or None, default=None
        Frames per second of the clips. None measures time in frames.
    memory : str, joblib.Memory or None, default=None
        Cache of the fitted features: a search over strategies then extracts the features of a
        training fold once.
    cache : str, path-like, ClipCache or None, default=None
        Cache of the features of each clip, see `ClipCache`: of D-Markers, and of the embedding
        where its network is frozen. Folds, candidates and runs then share them.
    random_state : int, RandomState instance or None, default=None
        Seed of both networks.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        The unfitted pipeline. Strategies are searched as ``fusion__fusion``.

    Raises
    ------
    ValueError
        If the strategy or the encoder is unknown.

    Notes
    -----
    `groups` reach the estimators through scikit-learn's metadata routing, which is off by
    default: ``sklearn.set_config(enable_metadata_routing=True)``. Then
    ``pipeline.fit(clips, y, groups=subjects)``, `GridSearchCV` and `cross_validate` (with
    ``params={"groups": subjects}``) carry them to both networks and to the splitters.

    Examples
    --------
    >>> from smilefusion import make_fusion_pipeline
    >>> pipeline = make_fusion_pipeline("film", fps=50)
    >>> list(pipeline.named_steps)
    ['features', 'scale', 'fusion']
    """
    get_fusion(fusion)
    is_backbone(encoder)
    common = {"fps": fps, "cache": cache}
    deep = DeepFeatureExtractor(encoder, random_state=random_state, **common)
    features = FeatureUnion([("deep", deep), ("dmarker", DMarkerTransformer(**common))])
    classifier = FusionClassifier(
        fusion,
        deep=slice(None, -N_DMARKERS),
        dmarker=slice(-N_DMARKERS, None),
        early_stopping=True,
        validation_fraction=0.15,
        random_state=random_state,
    )
    return Pipeline(
        [("features", features), ("scale", StandardScaler()), ("fusion", classifier)],
        memory=memory,
    )
