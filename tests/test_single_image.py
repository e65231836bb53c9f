"""Single images, read without TensorFlow, are what training's pipeline would give."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jreid.data import reading
from jreid.data.grey16 import Grey16
from jreid.data.image_file import UnreadableImageError
from jreid.data.single_image import pixels_of, read_image

PHOTOGRAPH_SIZES = [(480, 210), (100, 40), (97, 301), (48, 17), (300, 144)]
SIZE = 288, 144


def photograph(shape, seed=0) -> Image.Image:
    """Edges and noise, where resizing rounds in every way."""
    rng = np.random.default_rng(seed)
    height, width = shape
    coarse = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.NEAREST))
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("resize", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("shape", PHOTOGRAPH_SIZES)
def test_grey_levels_are_those_of_training(shape, resize, tmp_path):
    path = tmp_path / "image.png"
    photograph(shape).save(path)
    expected, reasons = reading.make_reader(SIZE, resize, 1)([str(path)])
    assert reasons == [None]
    image = read_image(path, SIZE, resize)
    off = np.abs(image.astype(int) - expected[0])
    assert off.max() <= (1 if resize == "bilinear" else 0)
    assert (off > 0).mean() < 0.02  # halves, rounded the other way


def odd_files():
    """Pillow images, how they are saved, and how 16-bit ones are scaled."""
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.asarray(photograph((60, 30)).convert("L")).astype(np.uint16) * 20 + 999
    yield "turned.jpg", photograph((60, 30)), {"exif": exif}
    yield "cmyk.jpg", photograph((60, 30)).convert("CMYK"), {}
    yield "palette.png", photograph((60, 30)).quantize(17), {"transparency": bytes(9)}
    yield "grey16.png", Image.fromarray(values), {}
    yield "grey.bmp", photograph((60, 30)).convert("L"), {}


@pytest.mark.parametrize(
    "name, image, options", [*odd_files()], ids=lambda x: str(x)[:9]
)
def test_files_of_every_kind_are_read_as_in_training(name, image, options, tmp_path):
    path = tmp_path / name
    image.save(path, **options)
    grey16 = Grey16(by="image")
    expected, reasons = reading.make_reader(SIZE, "bilinear", 1, grey16)([str(path)])
    assert reasons == [None]
    for given in (path, str(path), path.read_bytes(), Image.open(path)):
        image = read_image(given, SIZE, "bilinear", grey16)
        assert np.abs(image.astype(int) - expected[0]).max() <= 1


def test_arrays_are_images_too():
    rgb = np.asarray(photograph((50, 20)))
    np.testing.assert_array_equal(pixels_of(rgb), rgb)
    grey = rgb[..., 0]
    np.testing.assert_array_equal(pixels_of(grey), np.stack([grey] * 3, axis=-1))
    deep = grey.astype(np.uint16) * 256
    np.testing.assert_array_equal(
        read_image(deep, (50, 20)), np.stack([grey] * 3, axis=-1)
    )


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(TypeError, match="uint8 .h, w, 3. in the order red, green"):
        pixels_of(array)


def test_what_cannot_be_read_is_named(tmp_path):
    cut = io.BytesIO()
    photograph((50, 20)).save(cut, "JPEG")
    for name, content in (("none.jpg", b""), ("cut.jpg", cut.getvalue()[:400])):
        path: pathlib.Path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError, match=name):
            read_image(path, SIZE)
    with pytest.raises(UnreadableImageError, match="missing.jpg cannot be read: No"):
        read_image(tmp_path / "missing.jpg", SIZE)


def test_it_needs_neither_tensorflow_nor_jax():
    code = (
        "import sys, numpy; from jreid.data.single_image import read_image\n"
        "read_image(numpy.zeros((9, 5, 3), numpy.uint8), (8, 4))\n"
        "print(*{'tensorflow', 'jax', 'flax'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []
