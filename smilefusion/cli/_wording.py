"""Messages as the command line prints them."""

import argparse

from smilefusion._messages import one_line

# Parameter in messages of the package → attribute of the arguments, and what to print instead.
_OPTIONS = {
    "n_members=1 and patience=None": ("early_stopping", "--no-early-stopping"),
    "patience=None": ("early_stopping", "--no-early-stopping"),
    "Give fps=": ("fps", "Give --fps"),
    "Pass fps=": ("fps", "Pass --fps"),
    "min_confidence": ("min_confidence", "--min-confidence"),
    "model_path": ("face_model", "--face-model"),
    "rotation=": ("rotate", "--rotate "),
    "image_size=(width, height)": ("image_size", "--image-size WIDTH HEIGHT"),
    "image_size=(1, 1)": ("image_size", "--image-size 1 1"),
    # Only commands that read tables have image_size, so it also selects the next messages.
    "for example fps=60": ("image_size", "for example --fps 60"),
    "Choose one with face_id": (
        "image_size",
        "Choose one in Python with smilefusion.readers.read_clips(path, face_id=...)",
    ),
    "Choose a face with face_id": (
        "image_size",
        "Choose a face in Python with smilefusion.readers.read_clips(path, face_id=...)",
    ),
    "another signal with phases=...": ("signals", "another signal as the first of --signals"),
    "lower min_amplitude=": ("signals", "lower --min-amplitude "),
    "n_jobs=1": ("n_jobs", "--n-jobs 1"),
    "Pass link=True": ("link", "Pass --link"),
}


def describe_error(error: BaseException, args: argparse.Namespace) -> str:
    """Return the message of an error on one line, with options in place of parameters."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}.")
    return reword(error, args) or type(error).__name__


def reword(message: object, args: argparse.Namespace) -> str:
    """Return a message on one line, with the options of a command in place of parameters."""
    text = one_line(message)
    for parameter, (name, replacement) in _OPTIONS.items():
        if hasattr(args, name):
            text = text.replace(parameter, replacement)
    return text
