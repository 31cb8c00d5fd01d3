"""What the whole network sees of clips, and how it is run on them."""

from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from smilefusion.clips import check_clips
from smilefusion.dmarkers._signals import NOMINAL_FPS
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._clip_inputs import (
    collect_frames,
    coordinates,
    displacements,
    place_windows,
)
from smilefusion.estimators._training import run_network
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn._two_stream import get_encoder

# What each encoder sees of a frame.
_DESCRIPTIONS = {"mesh_transformer": displacements, "curvenet": coordinates}


class ClipNetwork:
    """Prepare clips for a `SmileNetwork` and run it, as an estimator's parameters say."""

    def _fit_dmarkers(self, clips):
        """Learn the scaling of the D-Markers."""
        self.dmarker_transformer_ = self.dmarker_scaler_ = None
        if self.dmarkers != "none":
            given = self.dmarker_transformer
            transformer = DMarkerTransformer(fps=self.fps) if given is None else clone(given)
            self.dmarker_transformer_ = transformer.set_output(transform="default")
            values = self.dmarker_transformer_.fit_transform(clips)
            self.dmarker_scaler_ = StandardScaler().fit(values)
            return {"dmarker": self.dmarker_scaler_.transform(values)}
        return {}

    def _describe_dmarkers(self, clips):
        """Return the D-Markers that the network takes at prediction."""
        if self.dmarkers != "fuse":
            return {}
        values = self.dmarker_transformer_.transform(clips)
        return {"dmarker": self.dmarker_scaler_.transform(values)}

    def _collect(self, clips, dmarkers):
        """Return frames and inputs of clips in the network's arithmetic, not yet scaled."""
        frames, inputs = collect_frames(
            clips,
            self.fps,
            describe=_DESCRIPTIONS[self.encoder],
            n_frames=self.n_frames if self.sampling == "uniform" else None,
        )
        dtype = "float64" if self.precision == "float64" else "float32"
        for group in (frames, inputs, dmarkers):
            for name, values in group.items():
                if values.dtype.kind == "f":
                    group[name] = values.astype(dtype, copy=False)
        return frames, inputs | dmarkers

    def _fit_scaling(self, landmarks):
        """Learn what is subtracted from landmarks (n_all_frames, N, n_dims), and divided by."""
        if self.encoder == "mesh_transformer":
            self.offset_ = np.zeros(self.n_dims_)
            rms = np.sqrt(np.mean(np.square(landmarks, dtype=np.float64)))
            self.scale_ = np.full(self.n_dims_, rms if rms > 0 else 1.0)
        else:
            self.offset_ = landmarks.min(axis=(0, 1)).astype(np.float64)
            extent = landmarks.max(axis=(0, 1)) - self.offset_
            self.scale_ = np.where(extent > 0, extent, 1.0)

    def _network_params(self):
        """Return the arguments of the network."""
        params = {
            "encoder": get_encoder(self.encoder),
            "fusion": self.fusion,
            "dmarkers": self.dmarkers,
            "embedding_dim": self.embedding_dim,
            "dim": self.hidden_dim,
            "dropout": self.dropout,
            "n_outputs": 1 if len(self.classes_) == 2 else len(self.classes_),
            "fusion_params": self.fusion_params,
            "mixed_precision": self.precision == "mixed",
            "n_landmarks": self.n_landmarks_,
        }
        if self.encoder == "mesh_transformer":
            scheme = landmark_scheme(self.n_landmarks_)
            params |= {
                "n_dims": self.n_dims_,
                "time_unit": NOMINAL_FPS if self.fps is None else 1.0,
                "mirror": scheme.mirror if self.augment else None,
            }
        return params

    def _run(self, method, X):
        """Return what a method of the network gives, (n_views, n_clips, n_outputs)."""
        check_is_fitted(self)
        clips = check_clips(X)
        if (clips.n_landmarks, clips.n_dims) != (self.n_landmarks_, self.n_dims_):
            raise InvalidClipError(
                f"Clips have {clips.n_landmarks} landmarks of {clips.n_dims} coordinates; "
                f"{type(self).__name__} was fitted to {self.n_landmarks_} of {self.n_dims_}. "
                f"Extract all clips with the same landmark model."
            )
        frames, inputs = self._collect(clips, self._describe_dmarkers(clips))
        n_windows = self.n_windows if self.sampling == "window" else 1
        outputs = []
        for mirrored in (False, True)[: 1 + self.mirror_test]:
            if mirrored:
                frames["landmarks"] = self._mirrored(frames["landmarks"])
            views = frames | {"landmarks": self._scaled(frames["landmarks"])}
            for windows in place_windows(views, inputs, self.n_frames, n_windows):
                run = partial(run_network, batch_size=self.batch_size, device=self.device)
                outputs.append(run(self.net_, method, windows))
        return np.stack(outputs)

    def _scaled(self, landmarks):
        """Return landmarks as the network sees them, in their dtype."""
        return ((landmarks - self.offset_) / self.scale_).astype(landmarks.dtype)

    def _mirrored(self, landmarks):
        """Return the mirror image of landmarks; coordinates stay within their range."""
        twins = landmark_scheme(self.n_landmarks_).mirror
        mirrored = landmarks[:, twins].copy()
        middle = (
            0.0 if self.encoder == "mesh_transformer" else self.offset_[0] + self.scale_[0] / 2
        )
        mirrored[..., 0] = 2 * middle - mirrored[..., 0]
        return mirrored
