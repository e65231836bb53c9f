"""Tests of decoding and of the tf.data pipeline, against Pillow and naive loops."""

import logging
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jreid.data import augment, datasets, decoding, pipeline, sampling

H, W = 36, 18
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


def batches(
    images: datasets.Images, start: int = 0, stop: int = 4, **options: Any
) -> list[dict[str, np.ndarray]]:
    arguments: dict[str, Any] = {
        "seed": 1,
        "identities": IDENTITIES,
        "images_per_identity": IMAGES,
        "height": H,
        "width": W,
        "workers": 2,
    }
    labels = np.unique(images.ids, return_inverse=True)[1]
    return list(
        pipeline.train_batches(
            images, labels, start_step=start, stop_step=stop, **(arguments | options)
        )
    )


def assert_same(first: list, second: list) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


CROP_AND_FLIP = ((augment.pad_and_crop(4), augment.flip(0.5)),) * 2


def pillow(path: str, height: int, width: int) -> np.ndarray:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize(
            (width, height), Image.Resampling.BILINEAR
        )
        return np.asarray(resized).astype(int)


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


@pytest.mark.parametrize(
    "shape", [(36, 18), (20, 10), (90, 60), (200, 12), (20, 60), (1, 1), (37, 19)]
)
def test_resize_is_pillows_to_within_one_grey_level(shape):
    source = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = Image.fromarray(source).resize((W, H), Image.Resampling.BILINEAR)
    resized = decoding.resize(tf.constant(source), H, W).numpy()
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
        readable = decoding.drop_unreadable(
            images,
            height=H,
            width=W,
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
        assert np.abs(pillow(path, H, W) - pixels).max() <= 1


def test_a_truncated_png_is_unreadable_too(images, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(picture(40, 40)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    paths = images.paths.astype(object)
    paths[0] = str(path)
    cut = datasets.Images(paths, images.ids, images.cameras, images.modality)
    readable = decoding.drop_unreadable(cut, height=H, width=W, max_fraction=0.1)
    assert [bad for bad, _ in readable.unreadable] == [str(path)]


def test_too_many_unreadable_files_are_an_error_naming_them(images, tmp_path):
    images = copied(images, tmp_path)
    for path in images.paths[:13]:
        pathlib.Path(path).write_bytes(b"\xff\xd8\xff no jpeg")
    with pytest.raises(ValueError) as info:
        decoding.drop_unreadable(images, height=H, width=W)
    for part in ("13 of 24", "0.001", "max_unreadable", images.paths[0], "and 3 more"):
        assert part in str(info.value)
    with pytest.raises(ValueError, match="13 of 13"):
        decoding.drop_unreadable(
            images.take(np.arange(13)), height=H, width=W, max_fraction=1.0
        )


def test_readable_files_cause_no_warning(images, caplog):
    with caplog.at_level(logging.WARNING):
        readable = decoding.drop_unreadable(images, height=H, width=W)
    assert readable.images.paths.tolist() == images.paths.tolist()
    assert readable.unreadable == [] and readable.pixels is None and not caplog.text


# Batches


def test_batches_follow_the_sampler_and_show_the_named_files(images):
    sample = sampling.make_sampler(
        images.ids, images.modality, identities=IDENTITIES, images=IMAGES, seed=1
    )
    for step, batch in enumerate(batches(images)):
        index = sample(step)
        np.testing.assert_array_equal(batch["index"], index)
        np.testing.assert_array_equal(batch["ids"], images.ids[index] - 5)
        np.testing.assert_array_equal(batch["modality"], images.modality[index])
        assert batch["images"].shape == (IDENTITIES * IMAGES, 2, H, W, 3)
        assert batch["images"].dtype == np.uint8
        assert all(batch[k].dtype == np.int32 for k in ("ids", "modality", "index"))
        for slot, m in np.ndindex(index.shape):
            expected = pillow(images.paths[index[slot, m]], H, W)
            assert np.abs(batch["images"][slot, m] - expected).max() <= 1


def test_a_resumed_pipeline_continues_exactly(images):
    options: dict[str, Any] = {"augmentations": CROP_AND_FLIP}
    whole = batches(images, 0, 6, **options)
    assert_same(batches(images, 4, 6, **options), whole[4:])
    assert not np.array_equal(whole[4]["images"], whole[5]["images"])
    other = batches(images, 0, 1, augmentations=CROP_AND_FLIP, seed=2)
    assert not np.array_equal(other[0]["index"], whole[0]["index"])


def test_workers_and_kept_pixels_change_nothing(images):
    options: dict[str, Any] = {"augmentations": CROP_AND_FLIP}
    expected = batches(images, workers=1, **options)
    assert_same(batches(images, workers=3, **options), expected)
    assert_same(batches(images, workers=0, **options), expected)
    pixels = decoding.drop_unreadable(
        images, height=H, width=W, keep_pixels=True
    ).pixels
    assert_same(batches(images, pixels=pixels, **options), expected)
    assert pixels is not None
    # A row of an odd address: TensorFlow could not read it in place.
    unaligned = np.empty(pixels.size + 1, np.uint8)[1:].reshape(pixels.shape)
    unaligned[...] = pixels
    assert_same(batches(images, pixels=unaligned, **options), expected)


def test_shares_of_a_batch_are_its_rows(images):
    whole = batches(images, augmentations=CROP_AND_FLIP)
    count = len(whole[0]["index"])
    shares = [
        batches(images, augmentations=CROP_AND_FLIP, slots=slots)
        for slots in (slice(0, 1), slice(1, count))
    ]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)


def test_each_modality_has_its_own_augmentations(images):
    plain = batches(images)
    only_infrared = batches(images, augmentations=((), (augment.flip(1.0),)))
    for a, b in zip(plain, only_infrared, strict=True):
        np.testing.assert_array_equal(a["images"][:, 0], b["images"][:, 0])
        np.testing.assert_array_equal(a["images"][:, 1, :, ::-1], b["images"][:, 1])


def test_every_image_of_a_run_is_augmented_with_its_own_seed(images):
    seeds = []

    def remember(rng: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        tf.numpy_function(lambda r: seeds.append(tuple(r)), [rng], [])
        return image

    with_seed = batches(images, 0, 5, augmentations=((remember,), (remember,)))
    assert len(seeds) == len(set(seeds)) == sum(b["index"].size for b in with_seed)


def test_the_whole_training_augmentation_runs(images):
    visible = (
        *CROP_AND_FLIP[0],
        augment.random_erasing(0.5),
        augment.random_grey(0.5),
        augment.channel_exchange(0.5),
    )
    options: dict[str, Any] = {"augmentations": (visible, visible[:3])}
    first = batches(images, **options)
    assert_same(batches(images, **options), first)
    assert any(
        (a["images"] != b["images"]).any()
        for a, b in zip(first, batches(images), strict=True)
    )


def test_a_file_that_becomes_unreadable_is_named(images, tmp_path):
    images = copied(images, tmp_path)
    sample = sampling.make_sampler(
        images.ids, images.modality, identities=IDENTITIES, images=IMAGES, seed=1
    )
    seen = {*sample(0).ravel().tolist(), *sample(1).ravel().tolist()}
    victim = next(i for i in sample(2).ravel().tolist() if i not in seen)
    stream = pipeline.train_batches(
        images,
        images.ids - 5,
        start_step=0,
        stop_step=40,
        seed=1,
        identities=IDENTITIES,
        images_per_identity=IMAGES,
        height=H,
        width=W,
    )
    path = str(images.paths[victim])
    pathlib.Path(path).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match="has become unreadable") as info:
        list(stream)
    assert path in str(info.value)


def test_wrong_pixels_and_too_many_identities_fail_before_the_first_batch(images):
    with pytest.raises(ValueError, match=r"pixels has the shape \(24, 9, 9, 3\)"):
        batches(images, pixels=np.zeros((24, 9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="identities = 8 .* only 4 of the 4"):
        batches(images, identities=8)


def test_test_batches_keep_the_order_and_the_last_short_batch(images):
    stacks = list(
        pipeline.test_batches(images, height=H, width=W, batch_size=10, workers=2)
    )
    assert [len(stack) for stack in stacks] == [10, 10, 4]
    for path, image in zip(images.paths, np.concatenate(stacks), strict=True):
        assert np.abs(pillow(path, H, W) - image).max() <= 1
    none = images.take(np.arange(0))
    assert list(pipeline.test_batches(none, height=H, width=W, batch_size=4)) == []


def test_test_batches_name_an_unreadable_file(images, tmp_path):
    images = copied(images, tmp_path)
    pathlib.Path(images.paths[13]).write_bytes(b"GIF8")
    stream = pipeline.test_batches(images, height=H, width=W, batch_size=5)
    with pytest.raises(ValueError, match="13.jpg has become unreadable"):
        list(stream)
