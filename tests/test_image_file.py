"""Odd image files: decoded as Pillow shows them, everywhere alike, or named."""

import io
import pathlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from jreid.data import datasets, decoding, image_file, pipeline, reading
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.evaluation.rank_lists import RankList
from jreid.run import rank_sheet

H, W = SIZE = 36, 18
ORIENTATION = 0x0112


def picture(height: int = 48, width: int = 32) -> Image.Image:
    """A smooth photograph without any symmetry."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif


def frames(kind: str) -> bytes:
    others = [ImageOps.invert(picture()), picture().rotate(180)]
    return saved(picture(), kind, save_all=True, append_images=others, duration=50)


def grey16() -> Image.Image:
    values = np.asarray(picture().convert("L")).astype(np.uint16) * 257
    return Image.fromarray(values)


def png16_rgb() -> bytes:
    """Colour of 16 bits, which Pillow cannot write: built from its chunks."""
    rows = np.asarray(picture()).astype(">u2") * 257
    filtered = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 32, 48, 16, 2, 0, 0, 0)
    return png(header, zlib.compress(filtered))


def png(header: bytes, data: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    content = bytearray(saved(picture(), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to gigabytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png(header, zlib.compress(bytes(10**6)))


ODD = {
    "grey16.png": saved(grey16(), "PNG"),
    "colour16.png": png16_rgb(),
    "cmyk.jpg": saved(picture().convert("CMYK"), "JPEG"),
    "grey.jpg": saved(picture().convert("L"), "JPEG"),
    "progressive.jpg": saved(picture(), "JPEG", progressive=True),
    "comment.jpg": saved(picture(), "JPEG", comment=b"hello"),
    "animated.gif": frames("GIF"),
    "animated.webp": frames("WEBP"),
    "still.webp": saved(picture(), "WEBP"),
    "palette.png": saved(picture().quantize(17), "PNG"),
    "palette.bmp": saved(picture().quantize(17), "BMP"),
    "transparent.png": saved(picture().quantize(17), "PNG", transparency=bytes(9)),
    "one_bit.png": saved(picture().convert("1"), "PNG"),
    "one_bit.bmp": saved(picture().convert("1"), "BMP"),
    **{
        f"turned{number}.jpg": saved(picture(), "JPEG", exif=with_orientation(number))
        for number in range(1, 9)
    },
    "turned.png": saved(picture(), "PNG", exif=with_orientation(6)),
    "turned.webp": saved(picture(), "WEBP", exif=with_orientation(8)),
    "turned_after_profile.jpg": saved(
        picture(), "JPEG", exif=with_orientation(6), icc_profile=bytes(70_000)
    ),
    "impossible_turn.jpg": saved(picture(), "JPEG", exif=with_orientation(99)),
    "damaged_exif.jpg": saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff"),
}


def expected(name: str) -> np.ndarray:
    """Pillow's reading, in the order of the steps that its documentation gives."""
    if "grey16" in name:  # Image.convert would clip
        return np.repeat(np.asarray(grey16())[..., None] // 256, 3, axis=-1)
    with Image.open(io.BytesIO(ODD[name])) as image:
        image.seek(0)
        if "damaged" not in name:
            image = ImageOps.exif_transpose(image)
        rgb = image.convert("RGBA" if "transparent" in name else "RGB")
        return np.asarray(rgb)[..., :3]


def in_tensorflow(content: bytes) -> np.ndarray:
    return decoding.decode(tf.constant(content)).numpy()


@pytest.mark.parametrize("read", [image_file.read_rgb, in_tensorflow])
@pytest.mark.parametrize("name", ODD)
def test_odd_images_are_read_as_pillow_shows_them(name, read):
    want, got = expected(name).astype(int), read(ODD[name])
    on_its_side = "turned" in name and name[6] in "5678_."
    assert want.shape == ((32, 48, 3) if on_its_side else (48, 32, 3))
    assert got.dtype == np.uint8 and got.shape == want.shape
    assert np.abs(got - want).max() <= 1


@pytest.fixture
def odd_images(tmp_path) -> datasets.Images:
    """Every odd file twice: as a visible and as an infrared image of a person."""
    paths = []
    for name, content in ODD.items():
        (tmp_path / name).write_bytes(content)
        paths += [str(tmp_path / name)] * 2
    row = np.arange(len(paths))
    return datasets.Images(np.array(paths), row // 2, row % 2 + 1, row % 2)


def test_training_testing_and_the_rank_sheet_agree(odd_images, monkeypatch, tmp_path):
    kept = reading.drop_unreadable(odd_images, size=SIZE, keep_pixels=True)
    assert not kept.unreadable and kept.pixels is not None
    test = np.concatenate(
        list(pipeline.test_batches(odd_images, size=SIZE, batch_size=7))
    )
    np.testing.assert_array_equal(kept.pixels, test)
    views = {name: View(name) for name in datasets.MODALITY_NAMES}
    for pixels in (kept.pixels, None):
        batch = next(
            pipeline.train_batches(
                odd_images,
                PerModality(len(ODD), 1).make(odd_images, views, 0),
                views=views,
                labels=odd_images.ids,
                start_step=0,
                stop_step=1,
                seed=0,
                size=SIZE,
                pixels=pixels,
                workers=2,
            )
        )
        for name, rows in batch["index"].items():
            np.testing.assert_array_equal(batch["images"][name], test[rows])
    for path, image in zip(odd_images.paths, test, strict=True):
        whole = Image.fromarray(expected(pathlib.Path(path).name).astype(np.uint8))
        resized = whole.resize((W, H), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(resized).astype(int) - image).max() <= 1
    shown = []
    read = rank_sheet.read_rgb
    monkeypatch.setattr(
        rank_sheet, "read_rgb", lambda *args: shown.append(read(*args)) or shown[-1]
    )
    zeros, row = np.zeros(1, int), RankList(0, np.array([0]))
    paths = np.array(["turned6.jpg"])
    rank_sheet.save_rank_sheet(
        tmp_path / "sheet.png",
        [row],
        paths=paths,
        ids=zeros,
        cameras=zeros,
        modality=zeros,
        read=ODD.__getitem__,
    )
    np.testing.assert_array_equal(shown[0], expected("turned6.jpg"))


BAD = {
    "empty.jpg": (b"", "empty"),
    "text.png": (b"no image", "Unknown image file format"),
    "tiff.jpg": (saved(picture(), "TIFF"), "Unknown image file format"),
    "cut.webp": (ODD["still.webp"][:200], "damaged"),
    "cut.gif": (ODD["animated.gif"][:300], "damaged"),
    "cut.png": (ODD["palette.png"][:300], "damaged"),
    "cut_turned.jpg": (ODD["turned6.jpg"][:700], "damaged"),
    "header_only.jpg": (ODD["grey.jpg"][:21], "amaged"),
    "bomb.png": (bomb(60_000, 60_000), "too many pixels"),
    "long.png": (bomb(70_000, 1), "70000 x 1 pixels are too many"),
    "huge.jpg": (jpeg_of_size(65_000, 65_000), "too many pixels"),
    "large.jpg": (jpeg_of_size(9_000, 8_000), "9000 x 8000 pixels are too many"),
}


def test_bad_and_huge_images_are_counted_named_and_take_no_memory(tmp_path, caplog):
    resource = pytest.importorskip("resource")
    names = [*ODD, *BAD]
    for name in names:
        content = ODD[name] if name in ODD else BAD[name][0]
        (tmp_path / name).write_bytes(content)
    zeros = np.zeros(len(names), int)
    paths = np.array([str(tmp_path / name) for name in names])
    images = datasets.Images(paths, zeros, zeros, zeros)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readable = reading.drop_unreadable(images, size=SIZE, max_fraction=0.5)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kilobytes; the smallest bomb alone has 200,000
    found = {pathlib.Path(path).name: reason for path, reason in readable.unreadable}
    assert found.keys() == BAD.keys()
    for name, (_, reason) in BAD.items():
        assert reason in found[name], name
        assert "{" not in found[name] and "Error" not in found[name].split(":")[0]
    assert f"{len(BAD)} of {len(names)} images are unreadable" in caplog.text
