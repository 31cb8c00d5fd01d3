import smilefusion.report

from ._audit import AuditDisplay as AuditDisplay
from ._critical_difference import CriticalDifferenceDisplay as CriticalDifferenceDisplay
from ._curves import SmileCurvesDisplay as SmileCurvesDisplay
from ._dynamics import SmileDynamicsDisplay as SmileDynamicsDisplay
from ._embedding import EmbeddingDisplay as EmbeddingDisplay
from ._explanation import explain as explain
from ._explanation import explain_in_words as explain_in_words
from ._explanation_display import ExplanationDisplay as ExplanationDisplay
from ._fusion_comparison import FusionComparisonDisplay as FusionComparisonDisplay
from ._importance import DMarkerImportanceDisplay as DMarkerImportanceDisplay
from ._learning_curve import LearningCurveDisplay as LearningCurveDisplay
from ._optimism import OptimismDisplay as OptimismDisplay
from ._reliability import ReliabilityDisplay as ReliabilityDisplay

write_report = smilefusion.report.write_report
