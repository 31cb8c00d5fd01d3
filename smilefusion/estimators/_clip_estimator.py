"""What trained estimators of clips have in common."""

from sklearn.utils.validation import check_is_fitted

from smilefusion.estimators._training import tabulate_history


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
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags
