"""A program as an ONNX file, and ONNX Runtime's answers to compare with."""

import json
from typing import Any

from jreid.export.embedding import Embed
from jreid.export.onnx.emit import emit
from jreid.export.program import Program
from jreid.extra import library
from jreid.search.onnx_network import INPUTS, METADATA, OUTPUT, open_session


def serialised(program: Program, about: dict[str, Any]) -> bytes:
    """The file's contents; `about` is what `Embedder.from_onnx` needs to know."""
    told = {METADATA: json.dumps(about, sort_keys=True)}
    return emit(program, list(INPUTS), [OUTPUT], told).SerializeToString()


def loaded(contents: bytes) -> Embed:
    """The function that is in a file, computed by ONNX Runtime."""
    library("onnxruntime", "export")
    session = open_session(contents)

    def embed(images, modality):
        given = dict(zip(INPUTS, (images, modality), strict=True))
        return session.run([OUTPUT], given)[0]

    return embed
