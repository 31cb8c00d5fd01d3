from ._runner import count_parameters as count_parameters
from ._runner import run_benchmark as run_benchmark
from ._statistics import score_predictions as score_predictions
from ._tables import format_table as format_table
from ._tables import summarize as summarize
