from smilefusion import datasets as datasets
from smilefusion import inspection as inspection
from smilefusion._version import __version__ as __version__
from smilefusion.dmarkers._transformer import DMarkerTransformer as DMarkerTransformer
from smilefusion.estimators._deep_features import DeepFeatureExtractor as DeepFeatureExtractor
from smilefusion.estimators._fusion_classifier import FusionClassifier as FusionClassifier
from smilefusion.estimators._pipeline import make_fusion_pipeline as make_fusion_pipeline
from smilefusion.nn._fusion import list_fusions as list_fusions
