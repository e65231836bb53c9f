"""Tests of decoding and of the tf.data pipeline, against Pillow and naive loops."""

import logging
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from parameters import slow
from PIL import Image

from jreid.data import datasets, decoding, pipeline, reading, resizing
from jreid.data.augmentations import (
    Erase,
    Flip,
    Grey,
    PadCrop,
    RandomChannel,
    augment,
)
from jreid.data.rows import joined
from jreid.data.sampling import ByIdentity, PerModality, Sampler
from jreid.data.views import View

H, W = SIZE = 36, 18
IDENTITIES, IMAGES = 3, 2
RNG = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    """Smooth shapes and some noise, as a photograph has."""
    coarse = RNG.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = RNG.integers(-9, 10, (height, width, 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> datasets.Images:
    """Four identities with three visible and three infrared JPEGs of various sizes."""
    root = tmp_path_factory.mktemp("images")
    rows = []
    for row in range(24):
        path = root / f"{row:02d}.jpg"
        Image.fromarray(picture(40 + 3 * row, 60 - 2 * row)).save(path, quality=90)
        rows.append((str(path), 5 + row // 6, 1 + 2 * (row % 2), row % 2))
    paths, ids, cameras, modality = zip(*rows, strict=True)
    return datasets.Images(
        np.array(paths), np.array(ids), np.array(cameras), np.array(modality)
    )


def copied(images: datasets.Images, folder: pathlib.Path) -> datasets.Images:
    """The same images in files of their own, which a test may damage."""
    paths = [folder / pathlib.Path(path).name for path in images.paths]
    for path, source in zip(paths, images.paths, strict=True):
        path.write_bytes(pathlib.Path(source).read_bytes())
    columns = images.ids, images.cameras, images.modality
    return datasets.Images(np.array([str(path) for path in paths]), *columns)


def two_views(visible: Any = (), infrared: Any = None) -> dict[str, View]:
    """The default columns; one pipe for both unless two are given."""
    second = visible if infrared is None else infrared
    return {"visible": View("visible", visible), "infrared": View("infrared", second)}


def batches(
    images: datasets.Images,
    start: int = 0,
    stop: int = 4,
    views: dict[str, View] | None = None,
    sampler: Sampler | None = None,
    **options: Any,
) -> list[dict[str, dict[str, np.ndarray]]]:
    arguments: dict[str, Any] = {"seed": 1, "size": SIZE, "workers": 2} | options
    views = views or two_views()
    seed = arguments["seed"]
    sampler = sampler or PerModality(IDENTITIES, IMAGES).make(images, views, seed)
    stream = pipeline.train_batches(
        images,
        sampler,
        views=views,
        labels=np.unique(images.ids, return_inverse=True)[1],
        start_step=start,
        stop_step=stop,
        **arguments,
    )
    return list(stream)


def assert_same(first: list, second: list) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].keys() == b[key].keys()
            for view in a[key]:
                np.testing.assert_array_equal(a[key][view], b[key][view])


CROP_AND_FLIP = (PadCrop(4), Flip())


def pillow(
    path: str, resampling: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((W, H), resampling)
        return np.asarray(resized).astype(int)


RESAMPLINGS = [
    ("bilinear", Image.Resampling.BILINEAR),
    ("bicubic", Image.Resampling.BICUBIC),
    ("lanczos", Image.Resampling.LANCZOS),
]

# Decoding


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("colour.jpg", "RGB", "jpeg"),
        ("grey.jpg", "L", "jpeg"),
        ("png_named.jpg", "RGB", "png"),
        ("jpeg_named.png", "RGB", "jpeg"),
        ("alpha.png", "RGBA", "png"),
        ("grey_alpha.png", "LA", "png"),
        ("grey.png", "L", "png"),
        ("palette.png", "P", "png"),
        ("colour.bmp", "RGB", "bmp"),
        ("grey.bmp", "L", "bmp"),
        ("still.gif", "P", "gif"),
    ],
)
def test_decode_gives_pillows_pixels_whatever_the_suffix(tmp_path, name, mode, kind):
    path = tmp_path / name
    Image.fromarray(picture(50, 30)).convert(mode).save(path, kind)
    decoded = decoding.decode(tf.io.read_file(str(path))).numpy()
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(("resize", "resampling"), RESAMPLINGS)
@pytest.mark.parametrize(
    "shape", [(36, 18), (20, 10), (90, 60), (200, 12), (20, 60), (1, 1), (37, 19)]
)
def test_resize_is_pillows_to_within_one_grey_level(shape, resize, resampling):
    source = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = Image.fromarray(source).resize((W, H), resampling)
    resized = resizing.resize_image(tf.constant(source), SIZE, resize).numpy()
    assert resized.shape == (H, W, 3)
    assert np.abs(resized.astype(int) - np.asarray(expected)).max() <= 1


def test_tensorflow_sees_no_gpu():
    assert tf.config.get_visible_devices("GPU") == []


# Unreadable files


def test_unreadable_files_are_counted_named_and_left_out(images, tmp_path, caplog):
    images = copied(images, tmp_path)
    whole = pathlib.Path(images.paths[3]).read_bytes()
    pathlib.Path(images.paths[3]).write_bytes(whole[: len(whole) // 2])
    pathlib.Path(images.paths[7]).write_bytes(b"")
    pathlib.Path(images.paths[9]).unlink()
    pathlib.Path(images.paths[23]).write_text("no image")
    done = []
    with caplog.at_level(logging.WARNING):
        readable = reading.drop_unreadable(
            images,
            size=SIZE,
            max_fraction=0.2,
            keep_pixels=True,
            progress=lambda n, total: done.append((n, total)),
        )
    assert [path for path, _ in readable.unreadable] == [
        images.paths[i] for i in (3, 7, 9, 23)
    ]
    reasons = ("JPEG", "empty", "No such file", "Unknown image file format")
    for (_, reason), expected in zip(readable.unreadable, reasons, strict=True):
        assert expected in reason and "[" not in reason and "{" not in reason
    assert "4 of 24 images" in caplog.text and images.paths[3] in caplog.text
    assert done[-1] == (24, 24)
    kept = [i for i in range(24) if i not in (3, 7, 9, 23)]
    np.testing.assert_array_equal(readable.images.paths, images.paths[kept])
    np.testing.assert_array_equal(readable.images.ids, images.ids[kept])
    assert readable.pixels is not None and len(readable.pixels) == 20
    for path, pixels in zip(readable.images.paths, readable.pixels, strict=True):
        assert np.abs(pillow(path) - pixels).max() <= 1


def test_a_truncated_png_is_unreadable_too(images, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(picture(40, 40)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    paths = images.paths.astype(object)
    paths[0] = str(path)
    cut = datasets.Images(paths, images.ids, images.cameras, images.modality)
    readable = reading.drop_unreadable(cut, size=SIZE, max_fraction=0.1)
    assert [bad for bad, _ in readable.unreadable] == [str(path)]


def test_too_many_unreadable_files_are_an_error_naming_them(images, tmp_path):
    images = copied(images, tmp_path)
    for path in images.paths[:13]:
        pathlib.Path(path).write_bytes(b"\xff\xd8\xff no jpeg")
    with pytest.raises(ValueError) as info:
        reading.drop_unreadable(images, size=SIZE)
    for part in ("13 of 24", "0.001", "max_unreadable", images.paths[0], "and 3 more"):
        assert part in str(info.value)
    with pytest.raises(ValueError, match="13 of 13"):
        reading.drop_unreadable(images.take(np.arange(13)), size=SIZE, max_fraction=1.0)


def test_readable_files_cause_no_warning(images, caplog):
    with caplog.at_level(logging.WARNING):
        readable = reading.drop_unreadable(images, size=SIZE)
    assert readable.images.paths.tolist() == images.paths.tolist()
    assert readable.unreadable == [] and readable.pixels is None and not caplog.text


# Batches


def test_batches_follow_the_sampler_and_show_the_named_files(images):
    views = two_views()
    sample = PerModality(IDENTITIES, IMAGES).make(images, views, 1)
    for step, batch in enumerate(batches(images)):
        for view, rows in sample(step).items():
            np.testing.assert_array_equal(batch["index"][view], rows)
            np.testing.assert_array_equal(batch["ids"][view], images.ids[rows] - 5)
            np.testing.assert_array_equal(
                batch["modality"][view], images.modality[rows]
            )
            pixels = batch["images"][view]
            assert pixels.shape == (IDENTITIES * IMAGES, H, W, 3)
            assert pixels.dtype == np.uint8
            for name in ("ids", "modality", "index"):
                assert batch[name][view].dtype == np.int32
            for row, image in zip(rows, pixels, strict=True):
                assert np.abs(image - pillow(images.paths[row])).max() <= 1


@pytest.fixture(scope="module")
def exact_images(tmp_path_factory) -> datasets.Images:
    """40 PNG files of 24 x 12, which no decoder and no resizing changes by a bit."""
    root, rng, rows = tmp_path_factory.mktemp("exact"), np.random.default_rng(11), []
    for row in range(40):
        pixels = rng.integers(0, 256, (24, 12, 3), dtype=np.uint8)
        # Luminances half between two levels, which float32 may round to either.
        pixels[pixels.astype(int) @ (299, 587, 114) % 1000 == 500] = 0
        path, modality = root / f"{row:02d}.png", row // 5 % 2
        Image.fromarray(pixels).save(path)
        rows.append((str(path), 3 + row % 5, 1 + 2 * modality, modality))
    paths, ids, cameras, modality = (np.array(c) for c in zip(*rows, strict=True))
    return datasets.Images(paths, ids, cameras, modality)


GEOMETRIC = (PadCrop(3), Flip(0.5))
COLOUR = two_views(
    (*GEOMETRIC, Grey(0.3), RandomChannel(0.4), Erase(0.6)), (*GEOMETRIC, Erase(0.6))
)


@pytest.mark.parametrize(
    ("views", "cached", "groups", "digest"),
    [
        (two_views(GEOMETRIC), False, None, 1049863029),
        (COLOUR, False, None, 3852591212),
        slow(COLOUR, True, None, 3852591212),
        slow(COLOUR, False, slice(2, 4), 3828701533),
        slow(two_views((Erase(0.5, value="noise"),)), False, None, 1492837671),
    ],
)
def test_batches_are_those_of_version_0_1(exact_images, views, cached, groups, digest):
    """Bit for bit what the first version's pipeline gave, as CRC-32."""
    options: dict[str, Any] = {"size": (24, 12), "seed": 9, "groups": groups}
    if cached:
        options["pixels"] = reading.drop_unreadable(
            exact_images, size=(24, 12), keep_pixels=True
        ).pixels
    sampler = PerModality(3, 2).make(exact_images, views, 9)
    crc = 0
    for batch in batches(exact_images, 2, 5, views, sampler, **options):
        for view in views:
            crc = zlib.crc32(batch["images"][view].tobytes(), crc)
            for name in ("ids", "modality", "index"):
                crc = zlib.crc32(batch[name][view].astype("<i4").tobytes(), crc)
    assert crc == digest


def test_a_resumed_pipeline_continues_exactly(images):
    views = two_views(CROP_AND_FLIP)
    whole = batches(images, 0, 6, views)
    assert_same(batches(images, 4, 6, views), whole[4:])
    shown = [batch["images"]["visible"] for batch in whole]
    assert not np.array_equal(shown[4], shown[5])
    other = batches(images, 0, 1, views, seed=2)
    assert not np.array_equal(
        other[0]["index"]["visible"], whole[0]["index"]["visible"]
    )


@pytest.mark.slow
def test_workers_and_kept_pixels_change_nothing(images):
    options: dict[str, Any] = {"views": two_views((Flip(),))}
    expected = batches(images, workers=1, **options)
    assert_same(batches(images, workers=3, **options), expected)
    assert_same(batches(images, workers=0, **options), expected)
    pixels = reading.drop_unreadable(images, size=SIZE, keep_pixels=True).pixels
    assert pixels is not None
    # A row of an odd address: TensorFlow could not read it in place.
    unaligned = np.empty(pixels.size + 1, np.uint8)[1:].reshape(pixels.shape)
    unaligned[...] = pixels
    assert_same(batches(images, pixels=unaligned, **options), expected)


@pytest.mark.parametrize(("resize", "resampling"), RESAMPLINGS)
def test_training_testing_and_embedding_show_the_same_pixels(
    images, resize, resampling
):
    """As Pillow resizes them, to within one grey level."""
    expected = np.stack([pillow(path, resampling) for path in images.paths])
    stacks = pipeline.test_batches(images, size=SIZE, resize=resize, batch_size=10)
    shown = np.concatenate(list(stacks))
    assert np.abs(shown - expected).max() <= 1
    for batch in batches(images, resize=resize):
        for view, rows in batch["index"].items():
            np.testing.assert_array_equal(batch["images"][view], shown[rows])
    kept = reading.drop_unreadable(images, size=SIZE, resize=resize, keep_pixels=True)
    np.testing.assert_array_equal(kept.pixels, shown)
    read, reasons = reading.make_reader(SIZE, resize)(images.paths.tolist())
    np.testing.assert_array_equal(read, shown)
    assert set(reasons) == {None}


def test_each_view_has_its_own_pipe(images):
    plain = batches(images)
    only_infrared = batches(images, views=two_views((), (Flip(1.0),)))
    for a, b in zip(plain, only_infrared, strict=True):
        first, second = a["images"], b["images"]
        np.testing.assert_array_equal(first["visible"], second["visible"])
        np.testing.assert_array_equal(first["infrared"][:, :, ::-1], second["infrared"])


# Columns of other kinds


class Lopsided:
    """A sampler of columns of several lengths, all images in turn."""

    def __init__(self, images: datasets.Images, **lengths: int):
        self.rows = {
            name: np.flatnonzero(images.modality == (name == "infrared"))
            for name in lengths
        }
        self.lengths = lengths

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        return {
            name: np.take(self.rows[name], step * n + np.arange(n), mode="wrap")
            for name, n in self.lengths.items()
        }


def remembering(seeds: list) -> Callable:
    def remember(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        tf.numpy_function(lambda r: seeds.append(tuple(r)), [seed], [])
        return image

    return remember


@pytest.mark.parametrize("lengths", [(6, 6), (8, 4), (3, 4)])
def test_an_images_seed_tells_its_place_in_the_joined_batch(images, lengths):
    """Which no other image of the run has."""
    of_view = {"visible": [], "infrared": []}
    views = two_views(*((remembering(seeds),) for seeds in of_view.values()))
    sampler = Lopsided(images, **dict(zip(views, lengths, strict=True)))
    batches(images, 2, 5, views, sampler, seed=4)
    count = sum(lengths)
    number_of = {}  # what an augmentation is given where the image's seed is (4, n)
    for number in range(5 * count):
        given = []
        image_seed = tf.constant([4, number], tf.int64)
        augment(tf.zeros((1, 1, 3), tf.uint8), image_seed, (remembering(given),))
        number_of[given[0]] = number
    assert len(number_of) == 5 * count
    order = joined([np.zeros(lengths[0], int), np.ones(lengths[1], int)])
    for view, seeds in enumerate(of_view.values()):
        places = np.flatnonzero(order == view)
        expected = [step * count + place for step in range(2, 5) for place in places]
        assert sorted(number_of[given] for given in seeds) == expected


def test_a_second_view_of_the_same_image_is_augmented_anew(images):
    views = two_views(CROP_AND_FLIP)
    views["again"] = View("visible", CROP_AND_FLIP, same_image_as="visible")
    views["mirrored"] = View("visible", (Flip(1.0),), same_image_as="visible")
    differ = 0
    for batch, plain in zip(batches(images, views=views), batches(images), strict=True):
        shown = batch["images"]
        assert list(shown) == list(views)
        for name in ("index", "ids", "modality"):
            np.testing.assert_array_equal(batch[name]["again"], batch[name]["visible"])
        np.testing.assert_array_equal(
            shown["mirrored"], plain["images"]["visible"][:, :, ::-1]
        )
        differ += (shown["again"] != shown["visible"]).any(axis=(1, 2, 3)).sum()
    assert differ > 20  # of 24: each has one of 81 shifts


def test_a_second_view_without_it_shows_other_images(images):
    views = two_views() | {"more": View("visible")}
    for batch in batches(images, views=views):
        rows = batch["index"]
        np.testing.assert_array_equal(batch["ids"]["more"], batch["ids"]["infrared"])
        # Three images of each identity for two views of two: one is shown twice.
        both = np.stack([rows["visible"], rows["more"]], 1).reshape(IDENTITIES, -1)
        assert all(len(set(own)) == 3 for own in both)


@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_a_view_of_one_modality_alone(images, modality):
    views = {"only": View("stem", CROP_AND_FLIP, modality=modality)}
    one = images.take(images.modality == datasets.MODALITY_NAMES.index(modality))
    for batch in batches(one, views=views):
        assert batch["images"]["only"].shape == (IDENTITIES * IMAGES, H, W, 3)
        assert set(batch["modality"]["only"]) == set(one.modality)


def test_a_mixed_column_may_have_a_pipe_for_each_modality(images):
    pipes = {"visible": (), "infrared": (Flip(1.0),)}
    views = {"all": View("shared", pipes)}
    sampler = ByIdentity(IDENTITIES, 4).make(images, views, 1)
    plain = batches(images, views={"all": View("shared")}, sampler=sampler)
    changed = batches(images, views=views, sampler=sampler)
    seen = set()
    for a, b in zip(plain, changed, strict=True):
        flags = a["modality"]["all"] == datasets.INFRARED
        seen |= set(flags.tolist())
        first, second = a["images"]["all"], b["images"]["all"]
        np.testing.assert_array_equal(first[~flags], second[~flags])
        np.testing.assert_array_equal(first[flags][:, :, ::-1], second[flags])
    assert seen == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [(6, 6), (8, 4)])
def test_shares_of_a_batch_are_its_groups(images, lengths):
    views = two_views((Flip(),))
    views["again"] = View("visible", (Flip(),), same_image_as="visible")
    sampler = Lopsided(images, **dict(zip(views, (*lengths, lengths[0]), strict=True)))

    def made(groups: slice | None = None) -> list:
        return batches(images, views=views, sampler=sampler, groups=groups)

    whole, count = made(), np.gcd(*lengths)
    parts = [made(slice(0, 1)), made(slice(1, count))]
    together = [
        {
            name: {
                view: np.concatenate([part[name][view] for part in step])
                for view in views
            }
            for name in step[0]
        }
        for step in zip(*parts, strict=True)
    ]
    assert_same(together, whole)
    assert len(parts[0][0]["index"]["visible"]) == lengths[0] // count


def test_a_sampler_whose_columns_change_their_lengths_is_refused(images):
    def sampler(step: int) -> dict[str, np.ndarray]:
        return {"visible": np.arange(2), "infrared": np.arange(2 + step // 2)}

    with pytest.raises(ValueError, match="'infrared': 3} images in step 2"):
        batches(images, sampler=sampler)


# What goes wrong


def test_a_file_that_becomes_unreadable_is_named(images, tmp_path):
    images = copied(images, tmp_path)
    views = two_views()
    sample = PerModality(IDENTITIES, IMAGES).make(images, views, 1)
    first, second, third = (np.concatenate(list(sample(s).values())) for s in range(3))
    victim = next(i for i in third.tolist() if i not in {*first, *second})
    stream = pipeline.train_batches(
        images,
        sample,
        views=views,
        labels=images.ids - 5,
        start_step=0,
        stop_step=40,
        seed=1,
        size=SIZE,
    )
    path = str(images.paths[victim])
    pathlib.Path(path).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match="has become unreadable") as info:
        list(stream)
    assert path in str(info.value)


def test_wrong_pixels_fail_before_the_first_batch(images):
    views = two_views()
    with pytest.raises(ValueError, match=r"pixels has the shape \(24, 9, 9, 3\)"):
        pipeline.train_batches(
            images,
            PerModality(IDENTITIES, IMAGES).make(images, views, 1),
            views=views,
            labels=images.ids,
            start_step=0,
            stop_step=1,
            seed=1,
            size=SIZE,
            pixels=np.zeros((24, 9, 9, 3), np.uint8),
        )


def test_test_batches_keep_the_order_and_the_last_short_batch(images):
    stacks = list(pipeline.test_batches(images, size=SIZE, batch_size=10, workers=2))
    assert [len(stack) for stack in stacks] == [10, 10, 4]
    for path, image in zip(images.paths, np.concatenate(stacks), strict=True):
        assert np.abs(pillow(path) - image).max() <= 1
    none = images.take(np.arange(0))
    assert list(pipeline.test_batches(none, size=SIZE, batch_size=4)) == []


def test_test_batches_name_an_unreadable_file(images, tmp_path):
    images = copied(images, tmp_path)
    pathlib.Path(images.paths[13]).write_bytes(b"GIF8")
    stream = pipeline.test_batches(images, size=SIZE, batch_size=5)
    with pytest.raises(ValueError, match="13.jpg has become unreadable"):
        list(stream)


def test_no_thread_tunes_the_pipeline(images, monkeypatch):
    """It would be waited for, up to a minute, whenever an iterator is dropped."""
    kept, original = [], tf.data.Dataset.with_options

    def noted(dataset, options):
        kept.append(options.autotune.enabled)
        return original(dataset, options)

    monkeypatch.setattr(tf.data.Dataset, "with_options", noted)
    next(pipeline.test_batches(images, size=(32, 16), batch_size=2))
    assert kept == [False]
