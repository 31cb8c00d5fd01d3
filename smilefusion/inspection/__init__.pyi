from ._benchmark import BenchmarkDisplay as BenchmarkDisplay
from ._dynamics import SmileDynamicsDisplay as SmileDynamicsDisplay
from ._embedding import EmbeddingDisplay as EmbeddingDisplay
from ._importance import DMarkerImportanceDisplay as DMarkerImportanceDisplay
