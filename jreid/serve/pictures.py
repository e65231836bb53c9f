"""Images as a browser shows them: whole, or small."""

import io
from pathlib import Path

import numpy as np

from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import UnreadableImageError, read_rgb
from jreid.shapes import UInt8

SMALL = 320  # pixels on the longer side; crops are rarely larger
_MEDIA_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"BM": "image/bmp",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


class GoneError(LookupError):
    """The gallery knows the image, but its file is not there or no picture now."""


def whole_file(path: Path) -> tuple[bytes, str]:
    """The file's bytes and, by its content, their media type.

    Raises GoneError where it cannot be read or is no picture.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise GoneError(f"the file is not there any more: {error.strerror}") from error
    for begin, media_type in _MEDIA_TYPES.items():
        if contents.startswith(begin):
            return contents, media_type
    raise GoneError("the file is no picture any more")


def thumbnail(path: Path, grey16: Grey16 = HIGH_BYTES) -> bytes:
    """The file's picture, small; grey values of 16 bits are shown as `grey16` says.

    Raises GoneError where the file cannot be read or is no picture.
    """
    contents, _ = whole_file(path)
    try:
        return small(read_rgb(contents, grey16))
    except UnreadableImageError as error:
        raise GoneError(f"the file is no picture any more: {error}") from error


def small(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The picture as a JPEG of at most `SMALL` pixels on a side, never enlarged."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SMALL, SMALL))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return written.getvalue()
