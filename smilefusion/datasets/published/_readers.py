"""Readers of the four published data sets: UvA-NEMO, MMI, SPOS and BBC."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from smilefusion._messages import count
from smilefusion.clips._sequence import check_clips, fraction_clips
from smilefusion.datasets._data_set import ClipBunch, common_rate
from smilefusion.datasets._folder import describe_problem
from smilefusion.datasets.published._details import DETAILS_FILE, read_details
from smilefusion.datasets.published._folds import (
    PublishedFolds,
    PublishedSet,
    find_label_problems,
    find_stray,
    find_subject_problems,
    read_label_files,
)
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.landmarks import MEDIAPIPE_478

_Camera = tuple[float, float, float]  # width, height, frames per second
_LAYOUT = (
    "npy/<video>.mp4.npy, an array (n_frames, 478, 3) of MediaPipe landmarks in fractions of the "
    "image, and labels/<fold>/train.json and test.json, {video: 0 posed or 1 spontaneous}"
)
_SUFFIX = ".mp4.npy"

# Counts, fold sizes and naming schemes are computed from the label files that the authors of
# MeshSmileNet (BMVC 2022) and HadaSmileNet (ICDM 2025) use. Video sizes are from their papers.
_NO_SUBJECTS = """\
Subjects: not part of the names. groups is None, and it is unknown whether the folds separate
people."""
UVA_NEMO = PublishedSet(
    name="UvA-NEMO",
    class_sizes=(643, 597),
    test_sizes=(124, 126, 125, 127, 125, 125, 124, 125, 114, 125),
    ask="the University of Amsterdam, https://www.uva-nemo.org",
    subject=r"^(\d{3})_",
    n_subjects=400,
    details_file=DETAILS_FILE,
    description="""\
Posed and elicited smiles of museum visitors; 1920×1080 pixels, 50 frames per second.
Subjects: 400, the first three digits of a name. Train and test parts share no subject.
Reference: Dibeklioglu, Salah, Gevers, ECCV 2012.""",
)
MMI = PublishedSet(
    name="MMI",
    class_sizes=(46, 138),
    test_sizes=(38, 26, 25, 22, 20, 17, 13, 12, 11),
    ask="the MMI Facial Expression Database, https://mmifacedb.eu",
    description=f"""\
Smiles on command (sessions 108 to 2003) and induced smiles (sessions 2005 to 2201).
The classes differ in camera: presumably 720×576 pixels at 25 frames per second and 640×480 at 29.
Frame rate, image shape and camera noise identify the class without any smile, so a high accuracy
on MMI may have nothing to do with smiles.
{_NO_SUBJECTS} The database's own records list the subjects.
Reference: Valstar, Pantic, LREC Workshop on Emotion 2010.""",
)
SPOS = PublishedSet(
    name="SPOS",
    class_sizes=(14, 66),
    test_sizes=(14, 9, 13, 8, 17, 7, 12),
    ask="the University of Oulu, https://www.oulu.fi/cmvs/node/41317",
    subject=r"_([^-_]+)-",
    n_subjects=7,
    description="""\
Spontaneous and posed smiles; 640×480 pixels, 25 frames per second.
Subjects: 7, named between "_" and "-"; every fold tests one of them.
Reference: Pfister, Li, Zhao, Pietikäinen, ICCV Workshops 2011.""",
)
BBC = PublishedSet(
    name="BBC",
    class_sizes=(10, 10),
    test_sizes=(2,) * 10,
    ask="the BBC, https://www.bbc.co.uk/science/humanbody/mind/surveys/smiles/",
    description=f"""\
Smiles of the quiz "Spot the fake smile"; 314×286 pixels, 25 frames per second.
Four of the ten folds test clips of one class only. With 20 clips, a comparison cannot detect
differences below about 25 percentage points.
{_NO_SUBJECTS}
Reference: BBC Science, "Spot the Fake Smile".""",
)


def load_uva_nemo(data_home: str | os.PathLike) -> ClipBunch:
    """Load UvA-NEMO in its published layout.

    Parameters
    ----------
    data_home : str or path-like
        The data set's folder. It holds ``npy/<video>.mp4.npy``, one array (n_frames, 478, 3) of
        MediaPipe landmarks per video, in fractions of the image's width (x, z) and height (y),
        and ``labels/<fold>/train.json`` and ``test.json``, which list the label of each video.
        It may also hold the database's ``UvA-NEMO_Smile_Database_File_Details.txt``, which states
        sex and age. Nothing is downloaded; ``DESCR`` and errors state who distributes the data.

    Returns
    -------
    data : Bunch
        clips : ClipSequence of length n_clips
            The clips in alphabetical order, in image heights, with frame rates and subjects.
            Each is read when it is indexed.
        target : int array of shape (n_clips,)
            0 = posed, 1 = spontaneous.
        groups : str array of shape (n_clips,) or None
            The subjects; None if the names do not contain them.
        fps : float or float array of shape (n_clips,)
            Frames per second, one per clip if the data set mixes rates.
        folds : PublishedFolds
            Splitter of the published folds in numeric order.
        names : list of str
            The videos' names in the label files.
        files : list of str
            The clips' files, relative to the folder.
        metadata : DataFrame of n_clips rows
            ``sex`` and ``age`` (years) of the person in each clip, for ``summarize(by="sex")``.
            There are no columns if the folder does not contain the file that states them.
        name : str
            The data set's name.
        DESCR : str
            Source, terms, subjects, known problems, layout.

    Raises
    ------
    InvalidDataError
        If the folder differs from the data set as published. All problems are reported at once.

    See Also
    --------
    load_clips : Reader of any other folder of labelled clips.

    Notes
    -----
    This function checks the label files (contradictions, overlaps of train and test, clips tested
    in no or several folds, subjects in both parts, numbers of clips, classes, folds and subjects)
    and the headers of the arrays. Values are checked when a clip is read.

    References
    ----------
    .. [1] H. Dibeklioglu, A. A. Salah, T. Gevers, "Are You Really Smiling at Me? Spontaneous
       versus Posed Enjoyment Smiles", ECCV 2012.
    """
    return _load_published(data_home, UVA_NEMO, (1920, 1080, 50.0))


def load_mmi(
    data_home: str | os.PathLike,
    *,
    posed_camera: _Camera = (720, 576, 25.0),
    spontaneous_camera: _Camera = (640, 480, 29.0),
) -> ClipBunch:
    """Load the smiles of MMI in their published layout.

    Parameters
    ----------
    data_home : str or path-like
        The data set's folder, in the layout of `load_uva_nemo`.
    posed_camera : tuple of (float, float, float), default=(720, 576, 25.0)
        Width and height of the posed videos in square pixels, and their frames per second.
        The published sizes are read as square pixels. Use (768, 576, 25.0) if the videos are
        PAL recordings with an aspect ratio of 4:3.
    spontaneous_camera : tuple of (float, float, float), default=(640, 480, 29.0)
        The same for the spontaneous videos.

    Returns
    -------
    data : Bunch
        Same as `load_uva_nemo`, with `groups` None, one frame rate per clip and no columns in
        `metadata`.

    Raises
    ------
    InvalidDataError
        If the folder differs from the data set as published. All problems are reported at once.
    ValueError
        If a camera is not three positive numbers.

    Notes
    -----
    The classes differ in camera; see ``DESCR``. The names do not state the camera; the
    description of the database implies that the posed clips are the PAL recordings [1]_.

    References
    ----------
    .. [1] M. Pantic, M. Valstar, R. Rademaker, L. Maat, "Web-based Database for Facial
       Expression Analysis", ICME 2005.
    .. [2] M. Valstar, M. Pantic, "Induced Disgust, Happiness and Surprise: an Addition to the
       MMI Facial Expression Database", LREC Workshop on Emotion 2010.
    """
    return _load_published(data_home, MMI, posed_camera, spontaneous_camera)


def load_spos(data_home: str | os.PathLike) -> ClipBunch:
    """Load the smiles of SPOS in their published layout.

    Parameters
    ----------
    data_home : str or path-like
        The data set's folder, in the layout of `load_uva_nemo`.

    Returns
    -------
    data : Bunch
        Same as `load_uva_nemo`, with no columns in `metadata`.

    Raises
    ------
    InvalidDataError
        If the folder differs from the data set as published. All problems are reported at once.

    References
    ----------
    .. [1] T. Pfister, X. Li, G. Zhao, M. Pietikäinen, "Differentiating Spontaneous from Posed
       Facial Expressions within a Generic Facial Expression Recognition Framework", ICCV
       Workshops 2011.
    """
    return _load_published(data_home, SPOS, (640, 480, 25.0))


def load_bbc(data_home: str | os.PathLike) -> ClipBunch:
    """Load the smiles of the BBC's quiz "Spot the fake smile" in their published layout.

    Parameters
    ----------
    data_home : str or path-like
        The data set's folder, in the layout of `load_uva_nemo`.

    Returns
    -------
    data : Bunch
        Same as `load_uva_nemo`, with `groups` None and no columns in `metadata`.

    Raises
    ------
    InvalidDataError
        If the folder differs from the data set as published. All problems are reported at once.
    """
    return _load_published(data_home, BBC, (314, 286, 25.0))


def _load_published(
    data_home: str | os.PathLike, published: PublishedSet, *cameras: _Camera
) -> ClipBunch:
    """Read one data set; one camera, or those of posed and of spontaneous clips."""
    _check_cameras(cameras)
    cameras = cameras * 2 if len(cameras) == 1 else cameras
    folder = Path(data_home)
    _check_layout(folder, published)
    parts, problems = read_label_files(folder / "labels", len(published.test_sizes))
    names = sorted(set().union(*parts.values()))
    shapes, array_problems = _read_shapes(folder / "npy", names)
    problems += find_label_problems(parts, published) + find_subject_problems(parts, published)
    metadata = pd.DataFrame(index=range(len(names)))
    details = folder / published.details_file
    if details.is_file():
        metadata, detail_problems = read_details(details, names)
        problems += detail_problems
    _raise_all(folder, published, [*problems, *array_problems])
    label_of = {name: label for labels in parts.values() for name, label in labels.items()}
    fold_of = {
        name: fold - 1 for fold, part in parts if part == "test" for name in parts[fold, part]
    }
    target = np.array([label_of[name] for name in names])
    width, height, fps = np.array(cameras, dtype=float)[target].T
    paths = [folder / "npy" / f"{name}{_SUFFIX}" for name in names]
    groups = np.array([published.subject_of(n) for n in names]) if published.subject else None
    clips = fraction_clips(paths, shapes, (width / height).tolist())
    return ClipBunch(
        clips=clips.replace(fps=fps, subjects=groups),
        target=target,
        groups=groups,
        fps=common_rate(fps),
        folds=PublishedFolds([fold_of[name] for name in names]),
        names=names,
        files=[f"npy/{path.name}" for path in paths],
        metadata=metadata,
        name=published.name,
        DESCR=_describe_set(published),
    )


def _check_cameras(cameras: tuple) -> None:
    """Raise if a camera is not three positive numbers."""
    for camera in cameras:
        values = np.asarray(camera, dtype=float)
        if values.shape != (3,) or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(
                "A camera must be three positive numbers, width and height in square pixels and "
                f"frames per second; got {camera!r}. Write (640, 480, 25.0)."
            )


def _check_layout(folder: Path, published: PublishedSet) -> None:
    """Raise with instructions if a folder of the published layout is missing."""
    for path in (folder, folder / "npy", folder / "labels"):
        if not path.is_dir():
            raise InvalidDataError(
                f"There is no folder {str(path)!r}; {published.name} needs {_LAYOUT}. The "
                f"data are not downloaded: ask {published.ask}, extract the landmarks and store "
                "them in this layout."
            )


def _read_shapes(folder: Path, names: list[str]) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Return the shape of each clip's array from its header, and all problems."""
    files = [f"{name}{_SUFFIX}" for name in names]
    shapes, absent, unreadable, misshapen = [], [], [], []
    for file in files:
        if not os.path.isfile(folder / file):  # Path.is_file raises for long names
            absent.append(f"npy/{file}")
            continue
        try:
            clip = check_clips([folder / file])
        except InvalidClipError as error:
            unreadable.append(str(error).replace(f"Clip 0 ({file})", f"npy/{file}").rstrip("."))
            continue
        shapes.append((int(clip.n_frames[0]), clip.n_landmarks, clip.n_dims))
        if shapes[-1][1:] != (MEDIAPIPE_478.n_landmarks, 3):
            misshapen.append(f"npy/{file} is {shapes[-1]}")
    return shapes, [
        describe_problem("{} {are} absent", absent),
        describe_problem("{}", unreadable),
        describe_problem("the arrays must be (n_frames, 478, 3), but {}", misshapen),
        describe_problem("stray in npy/: {}", find_stray(folder, files) if names else []),
    ]


def _raise_all(folder: Path, published: PublishedSet, problems: list[str]) -> None:
    """Raise one error with all problems."""
    problems = [problem for problem in problems if problem]
    if problems:
        raise InvalidDataError(
            f"{str(folder)!r} differs from {published.name} as published in "
            f"{count(len(problems), 'respect')}: {'; '.join(problems)}. Fix the files, or use "
            "load_clips for your own clips."
        )


def _describe_set(published: PublishedSet) -> str:
    """Return the text that describes a data set."""
    n_posed, n_spontaneous = published.class_sizes
    return f"""\
{published.name} smiles
{"-" * len(f"{published.name} smiles")}
{published.description}
Clips: {n_posed} posed (0) and {n_spontaneous} spontaneous (1).
Published folds: {len(published.test_sizes)}, testing {", ".join(map(str, published.test_sizes))}.
Layout: {_LAYOUT}.
Coordinates as read: image heights, x to the right, y down.
Terms: licensed by the owners and never downloaded by this package; ask {published.ask}.
"""
