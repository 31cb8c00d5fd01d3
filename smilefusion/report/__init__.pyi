from ._description import describe_clips as describe_clips
from ._report import write_report as write_report
from ._view import write_view as write_view
