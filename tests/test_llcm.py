"""The reader of LLCM on small trees, and on empty files of the real set's shape."""

import logging
import pathlib

import pytest

from jreid.data.datasets import INFRARED, VISIBLE
from jreid.data.llcm import CAMERAS, read_llcm

KINDS = {VISIBLE: "vis", INFRARED: "nir"}


def make_llcm(
    root: pathlib.Path,
    train: tuple[int, ...] = (1, 2),
    test: tuple[int, ...] = (3, 4),
    images: int = 2,
) -> pathlib.Path:
    """Training in cameras 1 and 6, tests in every camera; labels count from 0."""
    (root / "idx").mkdir(parents=True)
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, test)))
    for modality, kind in KINDS.items():
        lines = []
        for label, identity in enumerate(train):
            folder = root / kind / f"{identity:04d}"
            folder.mkdir(parents=True)
            for camera in (6, 1):
                for frame in range(images):
                    name = f"{identity:04d}_c{camera:02d}_s20{frame}_f7_{kind}.jpg"
                    (folder / name).touch()
                    lines.append(f"{kind}/{identity:04d}/{name} {label}")
        (root / "idx" / f"train_{kind}.txt").write_text("\n".join(lines) + "\n")
        for camera in CAMERAS[modality]:
            for identity in test:
                folder = root / f"test_{kind}" / f"cam{camera}" / f"{identity:04d}"
                folder.mkdir(parents=True)
                for frame in range(images):
                    (folder / f"{identity:04d}_c{camera:02d}_f{frame}.jpg").touch()
    return root


def test_lists_and_camera_folders_are_read(tmp_path):
    root = make_llcm(tmp_path / "l")
    dataset = read_llcm(root)
    train, test = dataset.train, dataset.test
    assert len(train) == 2 * 2 * 2 * 2 and len(dataset.val) == 0
    assert train.cameras.tolist() == [1] * 8 + [6] * 8
    assert train.ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 2
    assert train.modality.tolist() == [INFRARED, INFRARED, VISIBLE, VISIBLE] * 4
    assert train.paths[2] == str(root / "vis" / "0001" / "0001_c01_s200_f7_vis.jpg")
    assert len(test) == (9 + 8) * 2 * 2
    rows = list(zip(test.cameras, test.ids, test.paths, strict=True))
    assert rows == sorted(rows)
    assert set(test.cameras[test.modality == INFRARED]) == {1, 2, 4, 5, 6, 7, 8, 9}
    assert set(test.ids) == {3, 4}


def test_an_infrared_test_folder_of_camera_3_is_no_part_of_the_set(tmp_path):
    root = make_llcm(tmp_path / "l")
    folder = root / "test_nir" / "cam3" / "0003"
    folder.mkdir(parents=True)
    (folder / "0003_c03_f0.jpg").touch()
    test = read_llcm(root).test
    assert not ((test.cameras == 3) & (test.modality == INFRARED)).any()


def test_a_name_without_camera_gives_camera_0(tmp_path):
    root = make_llcm(tmp_path / "l")
    (root / "vis" / "0001" / "a.jpg").touch()
    with (root / "idx" / "train_vis.txt").open("a") as file:
        file.write("vis/0001/a.jpg 0\n")
    train = read_llcm(root).train
    assert train.cameras[0] == 0 and train.paths[0].endswith("a.jpg")


@pytest.mark.parametrize(
    "missing",
    ["idx", "idx/train_vis.txt", "idx/train_nir.txt", "idx/test_id.txt", "test_vis"],
)
def test_what_is_missing_is_named_with_layout_and_source(tmp_path, missing):
    root = make_llcm(tmp_path / "l")
    (root / missing).rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError) as info:
        read_llcm(root)
    for part in (str(root / missing), "test_nir/cam{1,2,4..9}", "signed agreement"):
        assert part in str(info.value)
    assert "github.com/ZYK100/LLCM" in str(info.value)


def test_a_missing_image_and_an_empty_modality_are_named(tmp_path):
    root = make_llcm(tmp_path / "l")
    gone = root / "nir" / "0002" / "0002_c06_s201_f7_nir.jpg"
    gone.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"train_nir.txt, line 6: .*0002_c06_s201"
    ):
        read_llcm(root)
    gone.touch()
    (root / "idx" / "test_id.txt").write_text("77")
    with pytest.raises(FileNotFoundError, match="test_vis has no visible image of any"):
        read_llcm(root)


def test_identities_without_test_images_are_named(tmp_path, caplog):
    root = make_llcm(tmp_path / "l")
    (root / "idx" / "test_id.txt").write_text("3,4,99")
    with caplog.at_level(logging.WARNING):
        read_llcm(root)
    assert "1 of the 3 identities" in caplog.text and "99" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../vis/0001/x.jpg 0", r"train_vis.txt, line 9: .* leads out"),
        ("/etc/passwd 0", r"train_vis.txt, line 9: .* leads out"),
        ("vis/0001/x.jpg", r"line 9 must be `path label`"),
        ("test_vis/cam1/0003/0003_c01_f0.jpg 0", "training and test lists"),
        ("nir/0001/0001_c01_s200_f7_nir.jpg 0", "infrared training lists .* share 1"),
    ],
)
def test_lists_that_leave_the_root_or_overlap_are_refused(tmp_path, line, message):
    root = make_llcm(tmp_path / "l")
    with (root / "idx" / "train_vis.txt").open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=message):
        read_llcm(root)
