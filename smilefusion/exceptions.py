"""Errors and warnings of smilefusion."""


class SmileFusionError(Exception):
    """Base class of the errors that smilefusion raises."""


class InvalidClipError(SmileFusionError, ValueError):
    """A clip is invalid; the message names the clip, the rule and the remedy."""


class InvalidDataError(SmileFusionError, ValueError):
    """A data folder, table or model file is invalid; the message names the remedy."""


class LeakageError(SmileFusionError, ValueError):
    """A split fails to keep subjects apart; the message names a subject."""


class InvalidVideoError(SmileFusionError, ValueError):
    """A video cannot be read or is invalid; the message names the video and the remedy."""


class DivergedTrainingError(SmileFusionError, RuntimeError):
    """The training loss is not finite; the message names the epoch and the samples."""


class OutOfDeviceMemoryError(SmileFusionError, RuntimeError):
    """A batch does not fit into GPU memory; the message suggests remedies."""


class SmileFusionWarning(UserWarning):
    """Base class of the warnings that smilefusion issues."""


class DataWarning(SmileFusionWarning):
    """Clips or videos are of poor quality, incomplete, or from different landmark models."""


class FrameRateWarning(SmileFusionWarning):
    """Frame rates are unknown, uneven, or differ from those of the training clips."""


class MissingGroupsWarning(SmileFusionWarning):
    """A network stops early without knowing which clips show the same person."""


class TrainingWarning(SmileFusionWarning):
    """A fitted model carries no information: constant output, abstention only, random weights."""


class ModelVersionWarning(SmileFusionWarning):
    """A model file was written by other versions of packages; predictions may differ."""
