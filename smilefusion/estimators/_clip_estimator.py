"""What trained estimators of clips have in common."""

from sklearn.utils.validation import check_is_fitted

from smilefusion._training._trainer import tabulate_history
from smilefusion.tags import ClipInputTags


class ClipEstimator:
    """Tell of the course of a training, and that clips take the place of tables."""

    @property
    def history_(self):
        """Course of the training: a DataFrame with the losses and seconds of each epoch."""
        check_is_fitted(self)
        return tabulate_history(self.net_)

    def __sklearn_tags__(self):
        """Declare clips in place of tables."""
        tags = super().__sklearn_tags__()
        # The published encoder sees coordinates as they are, others see the head's pose taken out.
        free = () if self.encoder == "curvenet" else ("translation", "scale", "rotation")
        tags.input_tags = ClipInputTags(invariances=free)
        return tags
