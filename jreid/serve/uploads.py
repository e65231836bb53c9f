"""What a client has sent: checked before anything of it is decoded."""

import io

from jreid.data.image_file import KINDS, MAX_SIDE, UnreadableImageError
from jreid.serve.limits import Limits, TooLargeError

# A progressive JPEG of few bytes may have every pixel visited by each of many scans.
_SCANS = 64
_JPEG = b"\xff\xd8"
_START_OF_SCAN = b"\xff\xda"  # not within compressed data, where ff is followed by 0


def check_upload(contents: bytes, limits: Limits) -> None:
    """Refuses, by its header, what would take too much memory or time to decode.

    A file's name, suffix and declared type are not looked at.

    Raises:
        TooLargeError: over the bytes or pixels that are allowed.
        UnreadableImageError: empty, of another kind, or damaged at its beginning.
    """
    from PIL import Image, UnidentifiedImageError

    if len(contents) > limits.file_bytes:
        raise TooLargeError(
            f"a picture of {len(contents)} bytes; allowed are {limits.file_bytes}"
        )
    if not contents:
        raise UnreadableImageError("the file is empty")
    canvas = _webp_canvas(contents)
    if canvas:  # Pillow makes room for it before it can be asked for its size
        _check_pixels(*canvas, limits)
    try:
        with Image.open(io.BytesIO(contents), formats=KINDS) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise UnreadableImageError(
            f"no picture, or damaged; allowed are {', '.join(KINDS)}"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLargeError(
            f"more pixels than the {limits.pixels} that are allowed"
        ) from None
    except Exception as error:  # Pillow's readers raise anything on damaged bytes
        raise UnreadableImageError(f"damaged ({type(error).__name__})") from error
    _check_pixels(width, height, limits)
    is_jpeg = contents.startswith(_JPEG)  # Pillow calls one of several pictures MPO
    if is_jpeg and contents.count(_START_OF_SCAN) > _SCANS:
        raise TooLargeError(f"a JPEG of more than {_SCANS} scans")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels or max(width, height) > MAX_SIDE:
        raise TooLargeError(
            f"a picture of {width} x {height} pixels; allowed are {limits.pixels} in "
            f"all and {MAX_SIDE} on a side: send the crop of the person alone"
        )


def _webp_canvas(contents: bytes) -> tuple[int, int] | None:
    """Width and height that the header of an extended WebP file declares."""
    is_extended = contents[:4] == b"RIFF" and contents[8:16] == b"WEBPVP8X"
    if not is_extended or len(contents) < 30:
        return None
    width, height = contents[24:27], contents[27:30]
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
