from ._benchmark import BenchmarkDisplay as BenchmarkDisplay
from ._dynamics import SmileDynamicsDisplay as SmileDynamicsDisplay
from ._importance import DMarkerImportanceDisplay as DMarkerImportanceDisplay
