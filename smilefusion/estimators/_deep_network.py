"""What an encoder sees of clips, how it is fitted to them, and how it is run on them."""

from functools import partial

import numpy as np
import torch
from sklearn.utils.validation import _check_sample_weight

from smilefusion._training._batches import ClipDataset
from smilefusion._training._splits import check_groups, describe_split, split_by_mask
from smilefusion._training._torch_state import resolve_device
from smilefusion._training._trainer import (
    check_labels,
    encode_labels,
    make_weights,
    restore_network,
    run_network,
    run_settings,
    train_network,
)
from smilefusion.clips._sequence import ClipSequence, settle_fps
from smilefusion.estimators._clip_estimator import ClipEstimator
from smilefusion.estimators._clip_inputs import (
    check_scaling,
    collect_frames,
    learn_scaling,
    place_windows,
    scale_landmarks,
)
from smilefusion.estimators._encoder_inputs import check_input, size_frames
from smilefusion.estimators._encoders import (
    check_encoder,
    check_objective,
    choose_network,
    initial_state,
)


class DeepNetwork(ClipEstimator):
    """Prepare clips for an encoder, fit it and run it, as an extractor's parameters say."""

    def _fit(self, X, y, groups, sample_weight, early_stopping_mask):
        """Fit the network; return frames of landmarks and the network's inputs, None if unread."""
        check_encoder(self.encoder, self.weights, self.pretrained)
        check_objective(self)
        clips, self.input_ = self._check_input(X)
        indices, weights = self._check_targets(y, len(clips), sample_weight)
        if groups is None and isinstance(clips, ClipSequence):
            groups = clips.subjects
        groups = check_groups(groups, len(clips))
        mask = early_stopping_mask
        kept = np.arange(len(clips)) if mask is None else split_by_mask(mask, len(clips))[0]
        frames = inputs = None
        if self.input_ == "landmarks":
            self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
            self.time_unit_ = clips.time_unit
            frames, inputs = self._fit_scaling(clips, kept)
        elif self.objective == "supervised":
            inputs = self._inputs(clips)
        module, params, criterion = choose_network(self)
        initial = initial_state(self, module, params)
        if self.objective == "frozen":
            self.net_ = restore_network(self, module, params, initial)
            self.split_ = describe_split(groups, kept, np.arange(0))
            self.device_ = resolve_device(self.device)
        else:
            data = (inputs, indices, weights, groups)
            options = {"initial": initial, "criterion": criterion, "early_stopping_mask": mask}
            if frames is not None:
                tensors = {name: torch.from_numpy(values) for name, values in frames.items()}
                shared = {"frames": tensors, "n_frames": self.n_frames}
                options["make_dataset"] = partial(ClipDataset, **shared)
            trained = train_network(self, module, params, *data, **options)
            self.net_, self.split_, self.device_ = trained
        is_pooled = params["embedding_dim"] is None
        self._n_features_out = self.net_.module_.n_features if is_pooled else self.embedding_dim
        return frames, inputs

    def _fit_scaling(self, clips, kept):
        """Set the given or learned scaling; return scaled frames and inputs, None if frozen."""
        given = check_scaling(self.scaling, self.n_dims_)
        frozen = self.objective == "frozen"
        if frozen:  # only the scaling is learned
            clips = clips[kept]
        if given is None or not frozen:
            frames, inputs = self._collect(clips)
        if given is None:
            given = learn_scaling(frames["landmarks"], encoder=self.encoder)
        self.offset_, self.scale_ = given
        return (None, None) if frozen else (self._scale(frames), inputs)

    def _check_targets(self, y, n_clips, sample_weight):
        """Return class indices, all alike where labels are ignored, and weights of the clips."""
        supervised = self.objective == "supervised"
        y = indices = check_labels(y, n_clips, self) if supervised else np.zeros(n_clips)
        if supervised:
            self.classes_, indices = encode_labels(y, self)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        return indices, make_weights(y, self.class_weight if supervised else None, sample_weight)

    def _embed(self, inputs):
        """Return the embedding of the network's inputs by a network that was trained."""
        return run_network(self.net_, "forward_features", inputs, **run_settings(self))

    def _check_input(self, X, fitted_unit=None):
        """Return checked clips with the frame rates to use, and what they hold."""
        clips, kind = check_input(X, self.encoder)
        if kind == "landmarks":
            clips = settle_fps(clips, self.fps, fitted_unit=fitted_unit)
        return clips, kind

    def _inputs(self, clips):
        """Return the network's inputs for checked clips, landmarks not yet scaled."""
        if self.input_ == "frames":
            return size_frames(clips, self.encoder, self.n_frames)
        return self._place(*self._collect(clips))

    def _collect(self, clips):
        """Return the frames that the network sees of clips, not yet scaled, and its inputs."""
        kind = {"encoder": self.encoder, "precision": self.precision}
        return collect_frames(clips, n_frames=self.n_frames, **kind)

    def _place(self, frames, inputs):
        """Return the network's inputs for clips of collected frames."""
        return next(place_windows(frames, inputs, self.n_frames, n_windows=1))

    def _scale(self, inputs):
        """Scale landmarks in place, where there are some, and return what holds them."""
        if "landmarks" in inputs:
            scale_landmarks(inputs["landmarks"], self.offset_, self.scale_)
        return inputs
