"""What tells images apart wherever they lie: their names, and their files' contents."""

import concurrent.futures
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from jreid.data.datasets import Images
from jreid.shapes import UInt64


def names_below(images: Images) -> list[str]:
    """Names below the data set's folder, which stay when it is moved."""
    folder = os.path.commonpath(images.paths.tolist()) if len(images) else ""
    return [Path(path).relative_to(folder).as_posix() for path in images.paths]


def crc32_of_names(images: Images) -> int:
    """CRC-32 of the names below the data set's folder, which stay when it is moved."""
    return zlib.crc32(os.fsencode("\n".join(names_below(images))))


def contents_of(images: Images) -> UInt64[np.ndarray, " n"]:
    """Of every image the first 64 bits of its file's SHA-256."""

    def content(path: str) -> int:
        return int.from_bytes(hashlib.sha256(images.read(path)).digest()[:8])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return np.array([*pool.map(content, images.paths.tolist())], np.uint64)


def fingerprint(images: Images, contents: UInt64[np.ndarray, " n"]) -> str:
    """12 hex digits of names and contents, in whatever order; "" without images."""
    if not len(images):
        return ""
    pairs = zip(names_below(images), contents.tolist(), strict=True)
    lines = sorted(f"{os.fsencode(name)!r} {content:016x}" for name, content in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
