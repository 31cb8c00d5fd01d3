"""Extract clips of facial landmarks from video files."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from joblib import cpu_count, effective_n_jobs
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Bunch, Tags
from sklearn.utils._param_validation import Interval, Options, StrOptions

from smilefusion._documentation import DocumentedEstimator
from smilefusion._messages import abridge, printable
from smilefusion._storage._cache import ClipCache
from smilefusion._storage._digests import file_digest
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import ClipSequence
from smilefusion.exceptions import InvalidVideoError, SmileFusionWarning
from smilefusion.video._batch import Outcome, describe_failures, run_batch, warn_of_videos
from smilefusion.video._extraction import extract_landmarks
from smilefusion.video._face_model import find_model
from smilefusion.video._frames import check_is_video_file, import_av
from smilefusion.video._landmarker import N_LANDMARKS
from smilefusion.video._networks import import_litert

SUFFIXES = (".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_SETTINGS = (
    *("fps", "tracking", "face", "max_faces", "second_look", "min_confidence", "rotation"),
    *("blendshapes", "max_gap_s", "max_frames", "max_pixels"),
)


class FaceMeshExtractor(  # type: ignore[call-arg]
    TransformerMixin, DocumentedEstimator, BaseEstimator, auto_wrap_output_keys=None
):
    """Extract the MediaPipe face mesh, 478 landmarks per frame, from video files.

    It is the first step of a pipeline from video paths to classes, and learns nothing in `fit`.

    Parameters
    ----------
    fps : float or None, default=None
        Frame rate, in frames per second, to which all clips are resampled by linear
        interpolation. None keeps the recorded frames, with a FrameRateWarning if they are not
        equally spaced or if the videos have different rates.
    tracking : bool, default=True
        Whether to look for the face at its position in the previous frame. This takes about 30 %
        less time and reduces jitter; landmarks are not smoothed. Faces are detected again once a
        second, and whenever the face is lost or jumps. False detects faces in every frame, as
        MediaPipe's IMAGE mode does.
    face : {"largest", "nearest"}, default="largest"
        Which face to follow if there are several: the largest, or the one nearest to the face in
        the previous frame (in the first frame, the largest).
    max_faces : int, default=4
        Maximum number of faces to detect in a frame.
    second_look : bool, default=True
        Whether to search a crop around the last position of the face, or overlapping tiles of
        the frame, if the detector finds no face or only one that is smaller than a sixth of the
        frame's longer side. The detector shrinks a frame to 128 pixels and misses most of these.
    min_confidence : float, default=0.5
        Minimum confidence of a detected face, between 0 and 1.
    rotation : {0, 90, 180, 270}, default=0
        Clockwise rotation of all videos in degrees, in addition to each file's rotation flag.
        If a face is not upright, the error message states the value to pass.
    blendshapes : bool, default=False
        Whether clip files and the result of `extract` also contain the 52 blendshapes of each
        frame. `smilefusion.video.blendshapes` computes them from stored clips.
    model_path : str, path-like or None, default=None
        Model file of MediaPipe's face landmarker. None uses the file that the environment
        variable SMILEFUSION_FACE_MODEL names. If the variable is not set, the model is
        downloaded to the user's cache once and checked against its digest.
    cache : str, path-like, ClipCache or None, default=None
        A path names a folder for the clips, as ``.npz`` files that are never deleted and not
        loaded into memory. A stored clip is used again if the video, its name, the settings, the
        model and the package versions are the same. Several processes may share the folder. A
        `ClipCache` has a limited size. With a `ClipCache` or None, the clips are in memory.
    n_jobs : int or None, default=None
        Number of processes. None means 1, and -1 means one per processor.
    progress : bool, default=False
        Whether to show a progress bar on stderr.
    max_gap_s : float, default=0.25
        Longest gap between neighbouring frames that is interpolated, in seconds.
    max_frames : int, default=36000
        Maximum number of frames per video.
    max_pixels : int, default=36000000
        Maximum number of pixels per frame.

    Notes
    -----
    The networks are those of MediaPipe's face landmarker.
    With ``tracking=False``, landmarks agree with its IMAGE mode to about 0.01 % of the
    inter-ocular distance. MediaPipe's VIDEO mode is not available, because it smooths over time.

    The extractor applies the file's rotation flag and pixel aspect ratio, and takes frame times
    from the container. A frame without a face is NaN.

    References
    ----------
    Lugaresi et al., "MediaPipe: A Framework for Building Perception Pipelines", 2019,
    arXiv 1906.08172.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from smilefusion import make_fusion_pipeline
    >>> from smilefusion.video import FaceMeshExtractor
    >>> system = make_pipeline(FaceMeshExtractor(fps=30), make_fusion_pipeline())
    >>> list(system.named_steps)
    ['facemeshextractor', 'fusionpipeline']
    """

    _documented_in = "smilefusion.video"
    _parameter_constraints: dict = {
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "tracking": ["boolean"],
        "face": [StrOptions({"largest", "nearest"})],
        "max_faces": [Interval(Integral, 1, None, closed="left")],
        "second_look": ["boolean"],
        "min_confidence": [Interval(Real, 0, 1, closed="both")],
        "rotation": [Options(Integral, {0, 90, 180, 270})],
        "blendshapes": ["boolean"],
        "model_path": [str, os.PathLike, None],
        "cache": [str, os.PathLike, ClipCache, None],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
        "max_gap_s": [Interval(Real, 0, None, closed="neither")],
        "max_frames": [Interval(Integral, 2, None, closed="left")],
        "max_pixels": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        fps: float | None = None,
        tracking: bool = True,
        face: Literal["largest", "nearest"] = "largest",
        max_faces: int = 4,
        second_look: bool = True,
        min_confidence: float = 0.5,
        rotation: Literal[0, 90, 180, 270] = 0,
        blendshapes: bool = False,
        model_path: str | os.PathLike | None = None,
        cache: str | os.PathLike | ClipCache | None = None,
        n_jobs: int | None = None,
        progress: bool = False,
        max_gap_s: float = 0.25,
        max_frames: int = 36_000,
        max_pixels: int = 36_000_000,
    ) -> None:
        self.fps = fps
        self.tracking = tracking
        self.face = face
        self.max_faces = max_faces
        self.second_look = second_look
        self.min_confidence = min_confidence
        self.rotation = rotation
        self.blendshapes = blendshapes
        self.model_path = model_path
        self.cache = cache
        self.n_jobs = n_jobs
        self.progress = progress
        self.max_gap_s = max_gap_s
        self.max_frames = max_frames
        self.max_pixels = max_pixels

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Sequence[str | os.PathLike], y: Any = None) -> Self:
        """Validate the parameters and check that the videos exist.

        Parameters
        ----------
        X : sequence of str or path-like of length n_videos
            Paths of video files.
        y : None
            Ignored.

        Returns
        -------
        self : FaceMeshExtractor
            The transformer.

        Raises
        ------
        InvalidVideoError
            If a path is not a readable file.
        ValueError
            If a parameter has an invalid value.
        """
        for video in _list_videos(X):
            check_is_video_file(video)
        return self

    def transform(self, X: Sequence[str | os.PathLike]) -> ClipSequence:
        """Extract one clip from each video.

        Parameters
        ----------
        X : sequence of str or path-like of length n_videos
            Paths of video files.

        Returns
        -------
        clips : ClipSequence of length n_videos
            Clips (n_frames, 478, 3), float32, in image heights, with frame rates and the names of
            the videos. If `cache` is a folder, indexing a clip reads its file, and
            ``clips.file(0)`` returns the path of the first one. The files contain the entries
            that `extract` returns.

        Raises
        ------
        InvalidVideoError
            If videos cannot be read, exceed a limit or show no upright face. The other videos
            are extracted first and kept in `cache`, and the message lists all failures.
        InvalidDataError
            If the face model cannot be found or downloaded.
        """
        self._validate_params()
        cache = self.cache
        folder = cache if cache is None or isinstance(cache, ClipCache) else Path(cache)
        outcomes = self._run(_list_videos(X), folder=folder)
        failures = describe_failures(outcomes)
        if failures:
            raise InvalidVideoError(
                f"{failures} Remove these videos and their labels; "
                "extract_files(on_error='skip') lists them."
            )
        warn_of_videos(outcomes, stacklevel=2)
        items = [each.clip if each.file is None else each.file for each in outcomes]
        facts = pd.DataFrame([outcome.summary for outcome in outcomes])
        shapes = [(int(n_frames), N_LANDMARKS, 3) for n_frames in facts["n_frames"]]
        names = [f"Clip {i} ({printable(each.video.name)})" for i, each in enumerate(outcomes)]
        return ClipSequence(items, shapes, fps=facts["fps"], names=names)

    def extract(self, video: str | os.PathLike) -> Bunch:
        """Extract the landmarks of one video, with frame times and metadata.

        Parameters
        ----------
        video : str or path-like
            The video file.

        Returns
        -------
        data : Bunch
            landmarks : ndarray of shape (n_frames, 478, 3)
                The clip, float32, in image heights; a frame without a face is NaN.
            is_isotropic : bool
                Always True: x, y and z have the same unit.
            timestamps_s, detected, n_faces : ndarray of shape (n_frames,)
                Time of each frame in seconds; whether the frame has landmarks; number of faces at
                the last detection.
            blendshapes, blendshape_names : ndarray
                Only with ``blendshapes=True``: blendshapes of each frame (n_frames, 52), float32,
                and their names (52,).
            fps, source_fps, is_uneven, source_timestamps_s
                Frames per second of the result and of the video; whether the frames of the
                result are unevenly spaced; times of the video's frames in seconds.
            width, height, sar
                Size of the upright image in pixels; width of a pixel divided by its height.
            n_damaged : int
                Number of recorded frames that are damaged or reuse parts of damaged frames. They
                have no landmarks.
            face_size_px : float
                Median over frames of the longer side of the face in pixels; 0 if there is none.
            video, video_sha256, model_sha256, settings, backend, mode, ..._version : str
                File name, digests, settings as JSON, the program that ran the model, "tracking"
                or "image", and versions of libraries.

        Raises
        ------
        InvalidVideoError, InvalidDataError
            As in `transform`, but a video without a face is not an error.
        """
        self._validate_params()
        (path,) = _list_videos([video])
        check_is_video_file(path)
        return Bunch(**extract_landmarks(path, file_digest(path), self._model(), self._settings()))

    def extract_files(
        self,
        videos: Sequence[str | os.PathLike],
        folder: str | os.PathLike,
        *,
        on_error: Literal["raise", "warn", "skip"] = "raise",
    ) -> pd.DataFrame:
        """Extract videos to a folder, one ``.npz`` clip per video.

        If interrupted, call it again to resume. Clips from earlier runs with the same settings,
        model and package versions are kept. If a clip would overwrite another intact file, the
        video fails.

        Parameters
        ----------
        videos : sequence of str or path-like of length n_videos
            Paths of video files with different names.
        folder : str or path-like
            Folder for the clips, created if it does not exist. The clip of ``smile.mp4`` is
            ``smile.npz``.
        on_error : {"raise", "warn", "skip"}, default="raise"
            What to do about failed videos after the others are done: raise an error, warn, or
            only list them in the table.

        Returns
        -------
        table : DataFrame with n_videos rows
            video : str
                Path of the video.
            file : str
                Path of the clip; None if the video failed.
            n_frames, n_detected, n_faces_most
                Number of frames, number with a face, and largest number of faces in a frame.
            fps, source_fps, width, height, face_size_px
                As in `extract`.
            seconds, is_old, error
                Processing time; whether the clip is from an earlier run; error of a failed video.

        Raises
        ------
        InvalidVideoError
            If two videos have the same name, or if videos failed and `on_error` is "raise".
        InvalidDataError
            As in `transform`, or if the folder cannot be written to.
        """
        self._validate_params()
        if on_error not in ("raise", "warn", "skip"):
            raise ValueError(f"on_error must be 'raise', 'warn' or 'skip'; got {on_error!r}.")
        paths = _list_videos(videos)
        names = [f"{path.stem}.npz" for path in paths]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidVideoError(
                f"Several videos would become the same clip, {abridge(twice)}. Rename the videos "
                "so that their names without the suffix differ, or extract them to different "
                "folders."
            )
        outcomes = self._run(paths, folder=Path(folder), names=names)
        failures = describe_failures(outcomes)
        if failures and on_error == "raise":
            raise InvalidVideoError(failures)
        if failures and on_error == "warn":
            warnings.warn(failures, SmileFusionWarning, stacklevel=2)
        warn_of_videos(outcomes, stacklevel=2)
        return _tabulate(outcomes)

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """Do nothing: clips are not tabular.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored.

        Returns
        -------
        self : FaceMeshExtractor
            The transformer.
        """
        return self

    def _run(self, videos: list[Path], **options: Any) -> list[Outcome]:
        for import_package in (import_av, import_litert):
            import_package("FaceMeshExtractor")
        return run_batch(
            videos,
            self._model,
            self._settings(),
            n_jobs=self.n_jobs,
            progress=self.progress,
            **options,
        )

    def _model(self) -> tuple[Path, str]:
        path = find_model(self.model_path)
        return path, file_digest(path)

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in _SETTINGS}
        # Decoding ahead takes an extra thread, so do it only if a processor is free.
        return settings | {"ahead": effective_n_jobs(self.n_jobs) < cpu_count()}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def _list_videos(videos: Any) -> list[Path]:
    """Return the paths of videos; raise if they are not a sequence of paths."""
    if isinstance(videos, (str, bytes, os.PathLike)):
        raise InvalidVideoError(
            f"X is the path {str(videos)!r}, but it must be a sequence of paths. Wrap the path in "
            "a list."
        )
    if not hasattr(videos, "__len__") or len(videos) == 0:
        raise InvalidVideoError(
            f"X is {videos!r:.60}, but it must be a sequence of at least one video path. Pass a "
            "list of paths."
        )
    for index, video in enumerate(videos):
        if not isinstance(video, (str, os.PathLike)):
            raise InvalidVideoError(
                f"Video {index} is of type {type(video).__name__}, but it must be a path. If you "
                "already have landmarks, do not use FaceMeshExtractor."
            )
    return [Path(video) for video in videos]


def _tabulate(outcomes: list[Outcome]) -> pd.DataFrame:
    columns = (
        *("n_frames", "n_detected", "n_faces_most", "fps", "source_fps"),
        *("width", "height", "face_size_px"),
    )
    rows = [
        {
            "video": str(outcome.video),
            "file": None if outcome.file is None else str(outcome.file),
            **{name: (outcome.summary or {}).get(name) for name in columns},
            "seconds": outcome.seconds,
            "is_old": outcome.is_old,
            "error": outcome.error,
        }
        for outcome in outcomes
    ]
    return pd.DataFrame(rows)
