"""Grey images of 16 bits: scaled alike wherever they are read, and counted if empty."""

import logging

import numpy as np
import pytest
from PIL import Image

from jreid.data import datasets, pipeline, reading
from jreid.data.grey16 import Grey16, window_of
from jreid.data.image_file import read_rgb

SIZE = (64, 32)


def image(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 64 * 32).reshape(SIZE).astype(int)


RANGES = {"raw.png": (7000, 9000), "dark.png": (0, 255), "full.png": (0, 65535)}


@pytest.fixture
def images(tmp_path) -> datasets.Images:
    for name, ends in RANGES.items():
        Image.fromarray(image(*ends).astype(np.uint16)).save(tmp_path / name)
    paths = np.array([str(tmp_path / name) for name in RANGES])
    zeros = np.zeros(len(paths), int)
    return datasets.Images(paths, zeros, zeros, zeros)


def naive(value: int, low: int, high: int) -> int:
    return min(max((value - low) * 256 // (high - low + 1), 0), 255)


@pytest.mark.parametrize(
    ("grey16", "of_raw"),
    [
        (Grey16(), (0, 65535)),
        (Grey16(low=7000, high=9000), (7000, 9000)),
        (Grey16(low=7500, high=8000), (7500, 8000)),
        (Grey16("image"), (7000, 9000)),
    ],
)
def test_values_become_256_equal_steps_between_two_ends(grey16, of_raw):
    raw = image(7000, 9000)
    expected = [[naive(int(v), *of_raw) for v in row] for row in raw]
    np.testing.assert_array_equal(grey16(raw), expected)


def test_by_default_it_is_the_high_byte_as_ever():
    values = np.arange(65536).reshape(256, 256)
    np.testing.assert_array_equal(Grey16()(values), values >> 8)


def test_the_ranges_of_images_use_all_levels():
    for ends in RANGES.values():
        grey = Grey16("image")(image(*ends))
        assert (grey.min(), grey.max()) == (0, 255)
        assert len(np.unique(grey)) > 200
    assert Grey16("image")(np.full((2, 2), 900)).tolist() == [[0, 0], [0, 0]]


def test_the_window_of_a_set_is_from_its_darkest_to_its_brightest():
    assert window_of([image(7000, 8000), image(7500, 9000)]) == Grey16(
        low=7000, high=9000
    )
    assert window_of([]) == Grey16()
    window_of([np.full((2, 2), 65535)]).check()


@pytest.mark.parametrize("ends", [(5, 5), (9, 3), (-1, 3), (0, 65536)])
def test_a_window_that_is_none_is_refused(ends):
    with pytest.raises(ValueError, match="allowed is 0 to 65535, low below high"):
        Grey16(low=ends[0], high=ends[1]).check()


@pytest.mark.parametrize("grey16", [Grey16(), Grey16("image"), Grey16(low=7000)])
def test_training_testing_and_embedding_read_alike(images, grey16):
    images = datasets.dataclasses.replace(images, grey16=grey16)
    kept = reading.drop_unreadable(images, size=SIZE, keep_pixels=True).pixels
    assert kept is not None
    (tested,) = pipeline.test_batches(images, size=SIZE, batch_size=9)
    embedded, _ = reading.make_reader(SIZE, grey16=grey16)(images.paths.tolist())
    for path, *found in zip(images.paths, kept, tested, embedded, strict=True):
        expected = read_rgb(images.read(path), grey16)
        for pixels in found:
            np.testing.assert_array_equal(pixels, expected)


def test_images_with_few_levels_left_are_counted_and_named(images, caplog):
    with caplog.at_level(logging.WARNING):
        reading.drop_unreadable(images, size=SIZE)
    assert "2 images of 16 bits have fewer than 32 grey levels" in caplog.text
    assert "raw.png" in caplog.text and "full.png" not in caplog.text
    assert "--config.grey16.by=image" in caplog.text
    caplog.clear()
    scaled = datasets.dataclasses.replace(images, grey16=Grey16("image"))
    with caplog.at_level(logging.WARNING):
        reading.drop_unreadable(scaled, size=SIZE)
    assert not caplog.text
