"""An exported ONNX file as an embedder's network: ONNX Runtime, without JAX."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.extra import library
from jreid.shapes import Float32, UInt8

INPUTS = ("images", "modality")  # uint8 [b h w 3], int32 []
OUTPUT = "embeddings"  # float32 [b d], of length 1
METADATA = "jreid"  # the key of what a file says of itself, in JSON


class OnnxNetwork:
    """`network(pixels, modality)` of a file that `jreid.export` wrote.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ONNX model, or not one of jreid's, or onnxruntime is
            missing.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}: python -m jreid.export --format onnx writes one"
            )
        self.session = open_session(path)
        told = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        if told is None:
            raise ValueError(
                f"{path} does not say how it reads images: give a file that "
                "python -m jreid.export --format onnx has written"
            )
        self.about: dict[str, Any] = json.loads(told)

    def __call__(
        self, pixels: UInt8[np.ndarray, "b h w 3"], modality: str
    ) -> Float32[np.ndarray, "b d"]:
        """The vectors of images of one modality."""
        number = np.array(MODALITY_NAMES.index(modality), np.int32)
        given = dict(zip(INPUTS, (pixels, number), strict=True))
        return self.session.run([OUTPUT], given)[0]


def open_session(model: Path | bytes) -> Any:
    """ONNX Runtime's session of a model; on the CPU, or what else it was built for."""
    onnxruntime = library("onnxruntime", "export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    given = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(
            given, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # ONNX Runtime's have no common class of their own
        what = "the exported file" if isinstance(model, bytes) else model
        raise ValueError(f"{what} is no ONNX model that can be run: {error}") from None
