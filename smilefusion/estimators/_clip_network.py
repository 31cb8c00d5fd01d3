"""What the whole network sees of clips, and how it is run on them."""

from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches, get_tags
from sklearn.utils.validation import check_is_fitted

from smilefusion._training._trainer import (
    MultiTaskLoss,
    WeightedClassificationLoss,
    run_network,
    run_settings,
)
from smilefusion.clips._sequence import settle_fps
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._clip_estimator import ClipEstimator
from smilefusion.estimators._clip_inputs import (
    check_range,
    clips_at_once,
    collect_frames,
    describe_windows,
    learn_scaling,
    mirror_landmarks,
    place_windows,
    scale_landmarks,
)
from smilefusion.estimators._encoder_inputs import check_landmarks, check_same_landmarks
from smilefusion.estimators._encoders import choose_encoder


class ClipNetwork(ClipEstimator):
    """Prepare clips for a `SmileNetwork` and run it, as an estimator's parameters say."""

    def transform_streams(self, X):
        """Return the streams before fusion, and what becomes of them.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        streams : dict of str to ndarray of shape (n_clips, n_features)
            ``"dmarker"``, the standardised D-Markers, where clips have theirs and they are
            fused; ``"deep"``, the embedding; ``"fused"``, as `transform` gives it. Of windows
            and mirror images, means. For `smilefusion.inspection.EmbeddingDisplay`.
        """
        clips = self._check_fitted(X)
        dmarkers = self._describe_dmarkers(clips)
        both = self._run("forward_both", clips, dmarkers).mean(axis=0)
        deep, fused = np.split(both, [self.net_.module_.embedding_dim], axis=1)
        return dmarkers | {"deep": deep, "fused": fused}

    def _check_clips(self, X, fitted_unit=None):
        """Return checked clips of landmarks with the frame rates to use."""
        remedy = "encode images by DeepFeatureExtractor"
        clips = check_landmarks(X, taker=type(self).__name__, remedy=remedy)
        return settle_fps(clips, self.fps, fitted_unit=fitted_unit)

    def _fit_dmarkers(self, clips):
        """Learn the scaling of the D-Markers."""
        self.dmarker_transformer_ = self.dmarker_scaler_ = None
        if self.dmarkers != "none" and self.dmarker_scope == "clip":
            given = self.dmarker_transformer
            transformer = DMarkerTransformer() if given is None else clone(given)
            self.dmarker_transformer_ = transformer.set_output(transform="default")
            values = self.dmarker_transformer_.fit_transform(clips)
            self.dmarker_scaler_ = StandardScaler().fit(values)
            return {"dmarker": self.dmarker_scaler_.transform(values)}
        return {}

    def _describe_dmarkers(self, clips, *, scaled=True):
        """Return the D-Markers that the network takes at prediction, or those not yet scaled."""
        if self.dmarkers != "fuse" or self.dmarker_scope == "window":
            return {}
        values = self.dmarker_transformer_.transform(clips)
        return {"dmarker": self.dmarker_scaler_.transform(values) if scaled else values}

    def _collect(self, clips, dmarkers):
        """Return frames and inputs of clips in the network's arithmetic, not yet scaled."""
        frames, inputs = collect_frames(
            clips,
            encoder=self.encoder,
            n_frames=self.n_frames if self.sampling == "uniform" else None,
            precision=self.precision,
        )
        dtype = frames["landmarks"].dtype
        return frames, inputs | {name: values.astype(dtype) for name, values in dmarkers.items()}

    def _fit_scaling(self, landmarks):
        """Learn the scaling of landmarks (n_all_frames, n_landmarks, n_dims); scale them."""
        given = check_range(self.coordinate_range, self.n_dims_, encoder=self.encoder)
        scaling = learn_scaling(landmarks, encoder=self.encoder) if given is None else given
        self.offset_, self.scale_ = (np.full(self.n_dims_, value) for value in scaling)
        scale_landmarks(landmarks, self.offset_, self.scale_)

    def _network_params(self):
        """Return the arguments of the network."""
        encoder, params = choose_encoder(self)
        return params | {
            "encoder": encoder,
            "fusion": self.fusion,
            "dmarkers": self.dmarkers,
            "dim": self.hidden_dim,
            "n_outputs": 1 if len(self.classes_) == 2 else len(self.classes_),
            "fusion_params": self.fusion_params,
            "mixed_precision": self.precision == "mixed",
        }

    def _window_description(self):
        """Return what makes D-Markers of windows, or None where clips have theirs."""
        if self.dmarkers == "none" or self.dmarker_scope == "clip":
            return None
        if self.encoder != "curvenet" or self.n_landmarks_ != 478:
            raise ValueError(
                f"dmarker_scope='window' computes the published D-Markers of the coordinates of "
                f"478 landmarks that encoder='curvenet' sees; got encoder={self.encoder!r} and "
                f"{self.n_landmarks_} landmarks. Take dmarker_scope='clip'."
            )
        return describe_windows

    def _criterion(self):
        """Return the class of the loss, or what makes one."""
        if self.dmarkers == "auxiliary":
            return partial(MultiTaskLoss, self.auxiliary_weight)
        return WeightedClassificationLoss

    def _check_fitted(self, X):
        """Return checked clips with the landmarks of the training clips."""
        check_is_fitted(self)
        clips = self._check_clips(X, self.time_unit_)
        check_same_landmarks(self, clips)
        return clips

    def _predict(self, method, X):
        """Check clips and return what a method of the network gives for them, as `_run` does."""
        clips = self._check_fitted(X)
        return self._run(method, clips, self._describe_dmarkers(clips))

    def _run(self, method, clips, dmarkers):
        """Return what a method of the network gives, (n_views, n_clips, n_outputs)."""
        run = partial(run_network, **run_settings(self))
        outputs = []
        for part in gen_batches(len(clips), clips_at_once(self.batch_size)):
            own = {name: values[part] for name, values in dmarkers.items()}
            views = self._views(clips[part], own)
            outputs.append(np.stack([run(self.net_, method, view) for view in views]))
        return np.concatenate(outputs, axis=1)

    def _test_views(self, X, *, scaled=True):
        """Return the network's inputs for clips, a dict for each window and mirror image."""
        clips = self._check_fitted(X)
        dmarkers = self._describe_dmarkers(clips, scaled=scaled)
        return list(self._views(clips, dmarkers, scaled=scaled))

    def _views(self, clips, dmarkers, *, scaled=True):
        """Yield the network's inputs for clips, by window and mirror image."""
        frames, inputs = self._collect(clips, dmarkers)
        if scaled:
            scale_landmarks(frames["landmarks"], self.offset_, self.scale_)
        n_windows = self.n_windows if self.sampling == "window" else 1
        describe = self._window_description() if self.dmarkers == "fuse" else None
        if describe is not None:
            describe = partial(describe, names=clips.names)
        for mirrored in (False, True)[: 1 + self.mirror_test]:
            if mirrored:
                frames["landmarks"] = mirror_landmarks(frames["landmarks"], encoder=self.encoder)
            yield from place_windows(frames, inputs, self.n_frames, n_windows, describe)

    def __sklearn_tags__(self):
        """Declare what neither the encoder nor the D-Markers depend on."""
        tags = super().__sklearn_tags__()
        claimed = tags.input_tags.invariances
        if self.mirror_test and claimed:
            claimed += ("mirror",)
        if self.dmarkers == "fuse" and claimed and self.dmarker_transformer is not None:
            of_dmarkers = get_tags(self.dmarker_transformer).input_tags.invariances
            claimed = tuple(change for change in claimed if change in of_dmarkers)
        tags.input_tags.invariances = claimed
        return tags
