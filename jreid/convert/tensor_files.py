"""Reads the tensors of .npz, .safetensors and PyTorch files; runs no code of theirs."""

import argparse
import json
import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]

# of a file in the safetensors format, little-endian; BF16 is widened below
DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
MAX_HEADER = 100 << 20  # bytes, as the format's own library
WRAPPERS = ("state_dict", "model", "net")  # keys of a dict around the tensors


def read_tensors(path: Path) -> Tensors:
    """Reads all tensors by name, as NumPy arrays.

    By the suffix: .npz, .safetensors, anything else as PyTorch's (needs torch). The
    tensors may lie in a dict under one of WRAPPERS, and all names may begin with
    "module.", which is taken off.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of tensors, a damaged one, or one that holds code.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing or no file; give a checkpoint")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; download or copy it again")
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    tensors = readers.get(path.suffix.lower(), _read_torch)(path)
    if not tensors:
        raise ValueError(f"{path} holds no tensors; give a checkpoint of a network")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): t for name, t in tensors.items()}
    return tensors


def _read_npz(path: Path) -> Tensors:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive, or half of one")
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # what a damaged file raises depends on the damage
        raise ValueError(f"{path} is not a whole .npz of arrays: {error}") from error


def _read_safetensors(path: Path) -> Tensors:
    data = path.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or not 2 <= length <= min(len(data) - 8, MAX_HEADER):
            raise ValueError("its header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        if not isinstance(header, dict):
            raise ValueError("its header is no mapping")
        header.pop("__metadata__", None)
        return _tensors(header, memoryview(data)[8 + length :])
    except Exception as error:  # the header may hold any JSON
        raise ValueError(
            f"{path} is not a whole file of the safetensors format: {error}"
        ) from error


def _tensors(header: dict[str, Any], body: memoryview) -> Tensors:
    """The tensors a header describes, which must cover `body` one after the other."""
    tensors, position = {}, 0
    entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    for name, entry in entries:
        start, stop = entry["data_offsets"]
        shape, dtype = entry["shape"], DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{name} is of type {entry['dtype']}, which is not read")
        if not all(type(n) is int and n >= 0 for n in (start, stop, *shape)):
            raise ValueError(f"{name} has the shape {shape} at {start} to {stop}")
        size = math.prod(shape) * dtype.itemsize
        if start != position or stop - start != size or stop > len(body):
            raise ValueError(
                f"{name} has {size} bytes at {start} to {stop}, where {position} and "
                f"at most {len(body)} are expected"
            )
        array = np.frombuffer(body[start:stop], dtype).reshape(shape)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype("<u4") << 16).view("<f4")
        tensors[name], position = array, stop
    if position != len(body):
        raise ValueError(f"{len(body) - position} bytes belong to no tensor")
    return tensors


def _read_torch(path: Path) -> Tensors:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"reading {path} needs torch: pip install torch, or give a .safetensors "
            "or .npz file"
        ) from error
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(_harmless_globals()),
        ):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what a damaged file raises depends on the damage
        raise ValueError(f"{path} {_why(error)}") from error
    for _ in WRAPPERS:
        inner = [key for key in WRAPPERS if isinstance(_get(loaded, key), dict)]
        loaded = loaded[inner[0]] if inner else loaded
    if not isinstance(loaded, dict):
        raise ValueError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{path}: {name!r} is a {type(value).__name__}, not a tensor; expected "
                f"a state dict, or one under {', '.join(map(repr, WRAPPERS))}"
            )
    return {name: _to_numpy(path, name, value) for name, value in loaded.items()}


def _get(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, dict) else None


def _to_numpy(path: Path, name: str, tensor: Any) -> np.ndarray:
    try:
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
            tensor = tensor.float()
        return tensor.detach().numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: {name} is no plain tensor: {error}") from error


def _harmless_globals() -> list[Any]:
    """Harmless classes that checkpoints hold beside their tensors.

    AGW stores its scores as NumPy arrays, torchvision's training its options.
    """
    from numpy._core import multiarray

    scalars = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    found: list[Any] = [np.ndarray, np.dtype, argparse.Namespace, *scalars]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        for function in (multiarray._reconstruct, multiarray.scalar):  # type: ignore
            found.append((function, f"{module}.{function.__name__}"))
    return found


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    if found := re.search(r"(?:GLOBAL|function|class) ([\w.]+)", text):
        return (
            f"holds more than tensors and numbers ({found[1]}); nothing of it was run. "
            "If you trust it, save its state dict alone: torch.save(model.state_dict())"
        )
    if "TorchScript" in text:
        return (
            "is a TorchScript program, not a checkpoint, and was not run; save its "
            "state dict: torch.save(torch.jit.load(...).state_dict(), ...)"
        )
    if ".tar" in text:
        return (
            "has PyTorch's .tar format of before 2017, which is not read without "
            "running its pickles; load and save it once with a newer PyTorch"
        )
    return (
        f"is not a whole PyTorch checkpoint ({type(error).__name__}); download or copy "
        "it again"
    )
