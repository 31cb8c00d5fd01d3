"""Errors and warnings of smilefusion."""


class SmileFusionError(Exception):
    """Base of every error that smilefusion raises on its own account."""


class InvalidClipError(SmileFusionError, ValueError):
    """A clip breaks a rule; the message names the clip, the rule and the remedy."""


class InvalidDataError(SmileFusionError, ValueError):
    """A data folder, table or model file breaks a rule; the message names the remedy."""


class LeakageError(SmileFusionError, ValueError):
    """A subject is on two sides of a split that must keep people apart; the message names one."""


class InvalidVideoError(SmileFusionError, ValueError):
    """A video cannot be read or breaks a rule; the message names the video and the remedy."""


class DivergedTrainingError(SmileFusionError, RuntimeError):
    """The loss of a training is not finite; the message names the epoch and the samples."""


class OutOfDeviceMemoryError(SmileFusionError, RuntimeError):
    """A batch does not fit into the memory of the GPU; the message says what to try."""


class SmileFusionWarning(UserWarning):
    """Base of every warning that smilefusion issues."""


class MissingGroupsWarning(SmileFusionWarning):
    """A network stops early without knowing which clips show the same person."""


class NoSmileWarning(SmileFusionWarning):
    """A clip shows no smile; its features describe empty phases."""


class MissingFramesWarning(SmileFusionWarning):
    """A clip misses more frames than can be bridged; only its longest part is used."""


class MissingLandmarksWarning(SmileFusionWarning):
    """The landmark scheme lacks points of a signal; its features have the value for absence."""


class FaceJumpWarning(SmileFusionWarning):
    """A face jumps to another place or size; only the longest part without a jump is used."""


class FailedCellWarning(SmileFusionWarning):
    """An estimator failed in a fold; its predictions there are missing."""


class FrameRateWarning(SmileFusionWarning):
    """Frame rates are unknown, uneven, or differ from those that a model was trained on."""


class ModelVersionWarning(SmileFusionWarning):
    """A model file was written by other versions of packages; predictions may differ."""


class MixedModelsWarning(SmileFusionWarning):
    """Clips come from different landmark models, whose points differ by about 1 % of the eyes."""


class NoAnswerWarning(SmileFusionWarning):
    """No clip can be answered at the wanted error rate; the classifier abstains from all."""


class SmallFaceWarning(SmileFusionWarning):
    """A face is so small in its video that the landmarks' jitter is large against a smile."""


class CacheWarning(SmileFusionWarning):
    """A cache cannot be written to; what is not in it is computed every time."""


class FailedVideoWarning(SmileFusionWarning):
    """Videos of a batch failed; the others are done."""


class WaitingWarning(SmileFusionWarning):
    """A benchmark waits for a cell that another process is computing."""


class CollapsedTrainingWarning(SmileFusionWarning):
    """The output of a trained network no longer depends on its input."""
