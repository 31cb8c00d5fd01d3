from ._runner import run_benchmark as run_benchmark
from ._tables import format_table as format_table
from ._tables import summarize as summarize
