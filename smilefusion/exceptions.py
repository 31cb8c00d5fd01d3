"""Errors and warnings of smilefusion."""


class SmileFusionError(Exception):
    """Base of every error that smilefusion raises itself."""


class InvalidClipError(SmileFusionError, ValueError):
    """A clip breaks a rule; the message names the clip, the rule and the remedy."""


class InvalidDataError(SmileFusionError, ValueError):
    """A data folder, table or model file breaks a rule; the message names the remedy."""


class LeakageError(SmileFusionError, ValueError):
    """A split that must keep subjects apart does not; the message names a subject."""


class InvalidVideoError(SmileFusionError, ValueError):
    """A video cannot be read or breaks a rule; the message names the video and the remedy."""


class DivergedTrainingError(SmileFusionError, RuntimeError):
    """The training loss is not finite; the message names the epoch and the samples."""


class OutOfDeviceMemoryError(SmileFusionError, RuntimeError):
    """A batch does not fit into GPU memory; the message suggests remedies."""


class SmileFusionWarning(UserWarning):
    """Base of every warning that smilefusion issues."""


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
