"""Files of weights: an .npz of float32 arrays by our names, which says what it is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jreid.whole_files import replacing


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds; not yet whether it fits a network."""

    arrays: Mapping[str, np.ndarray]
    about: Mapping[str, Any]
    sha256: str


def write_weights(
    path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes the file whole or not at all; its folder is made if missing.

    Args:
        path: ends with .npz.
        arrays: float32, by name.
        about: JSON values, "format" among them; the file's entry "about".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)


def read_weights(path: Path, form: str, needed: tuple[str, ...]) -> WeightsFile:
    """Reads a file of the format `form`; runs nothing of it.

    Args:
        path: there is such a file.
        form: what its record must give as "format".
        needed: other entries that the record must have.

    Raises:
        ValueError: another kind of file, or a damaged one.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if "about" not in arrays:
            raise ValueError("it has no entry 'about'")
        about = json.loads(str(arrays.pop("about")))
        if about["format"] != form:
            raise ValueError(f"the format is {about['format']!r}, not {form!r}")
        if lacking := [name for name in needed if name not in about]:
            raise ValueError(f"its record has no {lacking[0]!r}")
    except OSError as error:
        raise OSError(f"cannot read the pretrained weights {path}: {error}") from error
    except Exception as error:  # what a damaged file raises depends on the damage
        raise ValueError(
            f"{path} is not a whole file of weights ({error}); convert the original "
            f"checkpoint once more: python -m jreid.convert.torchvision IN {path}"
        ) from error
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightsFile(arrays, about, digest)
