"""The doctor on data sets: whole, halved, cut short, with published numbers."""

import os
from pathlib import Path

import numpy as np
import pytest
from doctoring import levels
from PIL import Image

from jreid.config_files import load
from jreid.data.datasets import Dataset, Images
from jreid.data.reading import try_all
from jreid.data.sysu_mm01 import SysuMM01
from jreid.doctor.data_set import check_data_set, part_for
from jreid.doctor.published import LLCM, REGDB, SYSU, differences


@pytest.mark.parametrize("name", ["sysu_mm01", "regdb", "llcm", "folder"])
def test_a_whole_data_set_is_recognised_by_its_folders(trees, name):
    part = part_for(trees / name)
    assert part.key == name
    findings, _ = check_data_set(part)
    assert levels(findings) == {"ok"}
    tested = 9 if name == "folder" else 4
    assert f"test {tested} people" in findings[0].words
    assert "files have contents" in findings[1].words


def copied(trees, name, target):
    """The data set, by links that a test may take away."""
    for path in (trees / name).rglob("*"):
        if path.is_file():
            place = target / path.relative_to(trees / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)
    return target


@pytest.mark.parametrize(
    ("name", "gone", "level", "words"),
    [
        ("sysu_mm01", "cam3/0021/*.jpg", "ok", "3_"),
        ("sysu_mm01", "cam*/0021/*.jpg", "warn", "21"),
        ("sysu_mm01", "exp/test_id.txt", "fail", "test_id.txt"),
        ("regdb", "Visible/3/*.bmp", "fail", "Visible/3"),
        ("llcm", "nir/0002/*.png", "fail", "nir/0002"),
        ("llcm", "test_nir/*/*/*", "fail", "no infrared image"),
        ("folder", "infrared/*/*.jpg", "fail", "infrared"),
    ],
)
def test_half_a_data_set_is_told(trees, tmp_path, name, gone, level, words):
    root = copied(trees, name, tmp_path / name)
    for path in root.glob(gone):
        path.unlink()
    findings, _ = check_data_set(part_for(root))
    assert level in levels(findings)
    if level == "ok":  # a stand-in's numbers are not known: nothing is claimed
        assert "are not SYSU-MM01's" in findings[0].words
        return
    found = next(finding for finding in findings if finding.level == level)
    assert words in found.words
    assert found.remedy == f"rsync -a --info=progress2 SOURCE/ {root}/"


def test_files_cut_short_are_named(trees, tmp_path):
    root = copied(trees, "folder", tmp_path / "folder")
    cut, empty = (root / "visible" / f"person {n}" / "1.jpg" for n in (1, 2))
    contents = cut.read_bytes()
    for path in (cut, empty):
        path.unlink()
    cut.write_bytes(contents[: len(contents) // 2])
    empty.touch()
    findings, _ = check_data_set(part_for(root))
    (found,) = (finding for finding in findings if finding.level == "fail")
    assert found.words.startswith("2 unreadable: ")
    assert f"{empty}: empty" in found.words and f"{cut}: " in found.words


def test_files_that_a_training_leaves_out_are_named(trees, tmp_path):
    """Pillow opens these; the verdicts are those of training's own reader."""
    root = copied(trees, "folder", tmp_path / "folder")
    tiff, huge, bitmap = (root / "visible" / f"person {n}" / "1.jpg" for n in (1, 2, 3))
    for path in (tiff, huge, bitmap):
        path.unlink()
    Image.new("RGB", (20, 40)).save(tiff, format="TIFF")
    Image.new("1", (8192, 8200)).save(huge, format="PNG")  # 67.2 million pixels
    Image.new("RGB", (20, 40)).save(bitmap, format="BMP")  # a suffix decides nothing
    findings, dataset = check_data_set(part_for(root))
    (found,) = (finding for finding in findings if finding.level == "fail")
    assert found.words.startswith("2 unreadable: ")
    assert f"{tiff}: Unknown image file format" in found.words
    assert f"{huge}: 8192 x 8200 pixels are too many" in found.words
    assert dataset is not None
    parts = (dataset.train, dataset.test)
    left_out = {
        str(images.paths[row])
        for images in parts
        for row, reason in enumerate(try_all(images))
        if reason
    }
    assert left_out == {str(tiff), str(huge)}


def test_a_data_set_that_is_not_there_or_not_named_is_told(tmp_path):
    part = load("sysu").data
    findings, dataset = check_data_set(part)
    assert (levels(findings), dataset) == ({"warn"}, None)
    part.root = str(tmp_path / "none")
    findings, dataset = check_data_set(part)
    assert (levels(findings), dataset) == ({"fail"}, None)
    assert "SYSU-MM01 is expected as" in findings[0].words


def as_published(root, lost=0):
    """A tree with SYSU-MM01's numbers of files, all of them one; less some."""
    image = root / "image.jpg"
    root.mkdir()
    Image.new("L", (2, 4)).save(image)
    groups = {"train": (1, 296), "val": (297, 99), "test": (396, 96)}
    counts = {"train": (20_284, 9_929), "val": (1_974, 1_980), "test": (6_775, 3_803)}
    (root / "exp").mkdir()
    for part, (first, people) in groups.items():
        ids = range(first, first + people)
        (root / "exp" / f"{part}_id.txt").write_text(",".join(map(str, ids)))
        for camera, count in zip((1, 3), counts[part], strict=True):
            for number in range(count - (lost if (part, camera) == ("test", 3) else 0)):
                folder = root / f"cam{camera}" / f"{first + number % people:04d}"
                folder.mkdir(parents=True, exist_ok=True)
                os.link(image, folder / f"{number // people:04d}.jpg")
    return root


@pytest.mark.long
def test_counts_are_compared_with_the_published_ones(tmp_path):
    findings, _ = check_data_set(part_for(as_published(tmp_path / "whole")))
    assert "as published (Wu et al., ICCV 2017" in findings[0].words
    assert findings[0].level == "ok"
    findings, _ = check_data_set(part_for(as_published(tmp_path / "half", lost=800)))
    assert findings[0].level == "fail"
    assert "test has 3,003 of 3,803 infrared images (Wu et al." in findings[0].words


def images_of(people=0, visible=0, infrared=0):
    count = visible + infrared
    return Images(
        paths=np.array([f"{n}.jpg" for n in range(count)], str),
        ids=np.arange(count) % max(people, 1),
        cameras=np.zeros(count, int),
        modality=np.repeat([0, 1], [visible, infrared]),
    )


def made_of(parts):
    rest = {name: images_of() for name in ("train", "val", "test")}
    return Dataset("made", **(rest | parts))


@pytest.mark.parametrize("published", [SYSU, REGDB, LLCM])
def test_differences_from_published_numbers_are_told_by_part(published):
    parts = {name: images_of(*counts) for name, counts in published.parts.items()}
    assert differences(published, made_of(parts)) == []
    people, visible, infrared = published.parts["test"]
    parts["test"] = images_of(people, visible - 1, infrared)
    told = f"test has {visible - 1:,} of {visible:,} visible images"
    assert differences(published, made_of(parts)) == [told]


@pytest.mark.parametrize("error", [NotADirectoryError, PermissionError])
def test_a_cache_that_cannot_hold_the_embedded_data_set_is_told(
    tmp_path, monkeypatch, error
):
    """Root, who may run this, may write everywhere: permission is made up."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("JREID_CACHE", str(tmp_path / "file" / "cache"))
    if error is PermissionError:

        def read_only(*_, **__):
            raise PermissionError(13, "Permission denied", str(tmp_path / "file"))

        monkeypatch.setattr(Path, "mkdir", read_only)
    (found,), dataset = check_data_set(part_for(Path("synvi")))
    assert (found.level, dataset) == ("fail", None)
    assert "SynVI cannot be extracted" in found.words
    assert found.remedy == "export JREID_CACHE=/OTHER/cache"


def test_the_embedded_data_set_as_built_needs_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JREID_CACHE", "/dev/null/cache")
    part = SysuMM01(root="synvi", tfds=str(tmp_path / "built"))
    (found,), _ = check_data_set(part)
    assert "is no data set that TFDS has built" in found.words
    assert str(tmp_path / "built") in found.remedy


def test_the_embedded_data_set_is_known_by_its_name():
    assert (part_for(Path("synvi")).key, part_for(Path("synvi")).root) == (
        "sysu_mm01",
        "synvi",
    )
