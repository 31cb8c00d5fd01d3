from ._description import describe_clips as describe_clips
from ._report import write_report as write_report
