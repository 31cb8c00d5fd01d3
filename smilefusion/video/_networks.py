"""Run the networks of MediaPipe's face landmarker without MediaPipe."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from smilefusion._messages import printable
from smilefusion.exceptions import InvalidDataError

Shapes = tuple[tuple[int, ...], ...]


class Network:
    """A network in a model bundle; it runs on one thread."""

    # File in the bundle → shape of the input and shapes of the outputs, in the order of `run`.
    FILES: Mapping[str, tuple[tuple[int, ...], Shapes]] = {
        "face_detector.tflite": ((1, 128, 128, 3), ((1, 896, 16), (1, 896, 1))),
        "face_landmarks_detector.tflite": ((1, 192, 192, 3), ((1, 1, 1, 1434), (1, 1, 1, 1))),
        "face_blendshapes.tflite": ((1, 146, 2), ((52,),)),
    }

    def __init__(self, bundle: Path, name: str) -> None:
        litert = import_litert("Finding landmarks")
        content = _read(bundle, name)
        with _silent_stderr():
            try:
                self._net = litert.Interpreter(model_content=content, num_threads=1)
                self._net.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise _wrong(bundle, f"its network {name} is damaged") from error
        input_shape, output_shapes = self.FILES[name]
        inputs, outputs = self._net.get_input_details(), self._net.get_output_details()
        found = {tuple(each["shape"].tolist()): each["index"] for each in outputs}
        shape = tuple(inputs[0]["shape"].tolist())
        if shape != input_shape or set(found) != set(output_shapes):
            raise _wrong(
                bundle,
                f"its network {name} turns {shape} into {sorted(found)} instead of {input_shape} "
                f"into {sorted(output_shapes)}",
            )
        self._input = inputs[0]["index"]
        self._outputs = [found[shape] for shape in output_shapes]

    def run(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the outputs, each without dimensions of length 1."""
        self._net.set_tensor(self._input, values[None])
        self._net.invoke()
        return [self._net.get_tensor(index).squeeze() for index in self._outputs]


def import_litert(caller: str) -> ModuleType:
    """Import LiteRT; if this fails, name the caller and the extra to install."""
    try:
        from ai_edge_litert import interpreter
    except (ImportError, OSError) as error:
        raise ImportError(
            f"{caller} needs ai-edge-litert, which cannot be imported ({error}). Run "
            "pip install 'smilefusion[video]'."
        ) from error
    return interpreter


def _read(bundle: Path, name: str) -> bytes:
    """Return the content of a file in a bundle."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            return archive.read(name)
    except KeyError as error:
        raise _wrong(bundle, f"it does not contain {name}") from error
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _wrong(
            bundle, f"it cannot be read ({printable(reason).rstrip('.').lower()})"
        ) from error


def _wrong(bundle: Path, problem: str) -> InvalidDataError:
    return InvalidDataError(
        f"{printable(bundle)} is not a usable face model: {problem}. Use MediaPipe's "
        "face_landmarker.task, version 2 with blendshapes, or omit model_path to download it."
    )


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard LiteRT's log on stderr, which no option turns off."""
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
