"""Tests of the readers on small trees in the published layouts."""

import logging
import pathlib

import numpy as np
import pytest

from jreid.data import datasets
from jreid.data.data_sets import DATA_SETS
from jreid.data.datasets import INFRARED, VISIBLE
from jreid.data.folder import Folder
from jreid.data.llcm import LLCM
from jreid.data.regdb import RegDB, read_regdb
from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import SysuMM01, read_sysu_mm01


def make_sysu(
    root: pathlib.Path, files: dict[tuple[int, int], int], **lists: str
) -> pathlib.Path:
    """`files`: images per (camera, id); `lists`: the text of exp/{name}_id.txt."""
    (root / "exp").mkdir(parents=True)
    for name, text in ({"train": "1,2", "val": "3", "test": "4"} | lists).items():
        (root / "exp" / f"{name}_id.txt").write_text(text)
    for (camera, identity), count in files.items():
        folder = root / f"cam{camera}" / f"{identity:04d}"
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i + 1:04d}.jpg").touch()
    return root


def every_camera(ids: tuple[int, ...], count: int = 2) -> dict[tuple[int, int], int]:
    return {(camera, i): count for camera in range(1, 7) for i in ids}


def make_regdb(root: pathlib.Path, labels: int = 2, images: int = 3) -> pathlib.Path:
    """Train folders 0, 1 ..., test folders 100, 101 ...; labels from 0 in both."""
    (root / "idx").mkdir(parents=True)
    for part, first in (("train", 0), ("test", 100)):
        for name in ("Visible", "Thermal"):
            lines = []
            for label in range(labels):
                folder = root / name / str(first + label)
                folder.mkdir(parents=True)
                for i in range(images):
                    (folder / f"a {i}.bmp").touch()
                    lines.append(f"{name}/{first + label}/a {i}.bmp {label}")
            file = root / "idx" / f"{part}_{name.lower()}_1.txt"
            file.write_text("\n".join(lines) + "\n")
    return root


def test_sysu_columns_are_sorted_by_camera_id_and_name(tmp_path):
    root = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4)))
    dataset = read_sysu_mm01(root, train_on_val=False)
    expected = [
        (str(root / f"cam{c}" / f"{i:04d}" / f"{n:04d}.jpg"), i, c, m)
        for c, m in zip(range(1, 7), (0, 0, 1, 0, 0, 1), strict=True)
        for i in (1, 2)
        for n in (1, 2)
    ]
    train = dataset.train
    rows = zip(train.paths, train.ids, train.cameras, train.modality, strict=True)
    assert [tuple(row) for row in rows] == expected
    assert set(dataset.val.ids) == {3} and set(dataset.test.ids) == {4}


def test_sysu_trains_on_validation_identities_by_default(tmp_path):
    dataset = read_sysu_mm01(make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4))))
    assert set(dataset.train.ids) == {1, 2, 3}
    assert set(dataset.val.ids) == {3}


def test_sysu_ignores_other_files_and_unlisted_identities(tmp_path):
    root = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4, 9)))
    for name in ("Thumbs.db", ".DS_Store", "._0001.jpg", "note.txt"):
        (root / "cam1" / "0001" / name).touch()
    (root / "cam1" / "0001" / "0000.PNG").touch()
    dataset = read_sysu_mm01(root)
    first = dataset.train.take(
        (dataset.train.cameras == 1) & (dataset.train.ids == 1)
    ).paths
    assert [pathlib.Path(p).name for p in first] == ["0000.PNG", "0001.jpg", "0002.jpg"]
    assert 9 not in dataset.train.ids


def test_sysu_skips_empty_folders_and_absent_identities(tmp_path, caplog):
    files = every_camera((1, 2, 3, 4))
    del files[(5, 1)]  # not every identity was seen by every camera
    files |= {(camera, 2): 0 for camera in range(1, 7)}  # folders without images
    with caplog.at_level(logging.WARNING):
        dataset = read_sysu_mm01(make_sysu(tmp_path / "s", files, train="1, 2\n7\n"))
    assert set(dataset.train.ids) == {1, 3}
    assert "2 of the 5 identities" in caplog.text and "2, 7" in caplog.text


def test_sysu_reads_a_set_with_four_cameras(tmp_path, caplog):
    files = {(c, i): 2 for c in (1, 2, 3, 6) for i in (1, 2, 3, 4)}
    with caplog.at_level(logging.WARNING):
        dataset = read_sysu_mm01(make_sysu(tmp_path / "s", files))
    assert sorted(set(dataset.test.cameras)) == [1, 2, 3, 6]
    assert "no folder for camera 4, 5" in caplog.text


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ((1, 2, 4, 5), "no infrared camera: neither cam3 nor cam6"),
        ((3, 6), "no visible camera: neither cam1 nor cam2 nor cam4 nor cam5"),
    ],
)
def test_sysu_without_a_modality_names_its_cameras(tmp_path, kept, message):
    files = {(c, i): 1 for c in kept for i in (1, 2, 3, 4)}
    root = make_sysu(tmp_path / "s", files)
    with pytest.raises(FileNotFoundError, match=message):
        read_sysu_mm01(root)


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_sysu_names_a_missing_list_the_layout_and_the_source(tmp_path, name):
    root = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4)))
    (root / "exp" / f"{name}_id.txt").unlink()
    with pytest.raises(FileNotFoundError) as info:
        read_sysu_mm01(root)
    assert f"{root}/exp/{name}_id.txt" in str(info.value)
    assert f"{root}/cam{{1..6}}/{{0001..0533}}" in str(info.value)
    assert "github.com/wuancong/SYSU-MM01" in str(info.value)


def test_sysu_names_a_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        read_sysu_mm01(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("ids", "name"), [((4,), "train"), ((1, 2, 3), "test"), ((), "train")]
)
def test_sysu_without_images_of_a_list_names_it(tmp_path, ids, name):
    files = every_camera(ids) | {(1, 50): 1, (3, 50): 1}
    root = make_sysu(tmp_path / "s", files)
    with pytest.raises(FileNotFoundError, match=rf"no image of any .* exp/{name}_id"):
        read_sysu_mm01(root)


def test_sysu_refuses_lists_that_overlap_or_are_no_numbers(tmp_path):
    files = every_camera((1, 2, 3, 4))
    root = make_sysu(tmp_path / "a", files, test="4,2")
    with pytest.raises(ValueError, match="train and test lists .* among them 2"):
        read_sysu_mm01(root)
    root = make_sysu(tmp_path / "b", files, val="3,three")
    with pytest.raises(ValueError, match=r"val_id.txt must hold .*'three'"):
        read_sysu_mm01(root)


def test_regdb_reads_labels_and_both_modalities(tmp_path):
    dataset = read_regdb(make_regdb(tmp_path / "r"), split=1)
    for images, first in ((dataset.train, 0), (dataset.test, 100)):
        assert len(images) == 12
        assert images.ids.tolist() == [0, 0, 0, 1, 1, 1] * 2
        assert images.cameras.tolist() == [1] * 6 + [2] * 6
        assert images.modality.tolist() == [VISIBLE] * 6 + [INFRARED] * 6
        folder = tmp_path / "r" / "Thermal" / str(first)
        assert images.paths[6] == str(folder / "a 0.bmp")
    assert len(dataset.val) == 0


def test_regdb_names_what_is_missing(tmp_path):
    root = make_regdb(tmp_path / "r")
    with pytest.raises(FileNotFoundError, match="train_visible_2.txt"):
        read_regdb(root, split=2)
    with pytest.raises(ValueError, match="split is 11"):
        read_regdb(root, split=11)
    (root / "Thermal" / "101" / "a 1.bmp").unlink()
    with pytest.raises(FileNotFoundError) as info:
        read_regdb(root, split=1)
    for part in ("101/a 1.bmp", "test_thermal_1.txt", "dm.dongguk.edu", "Visible/"):
        assert part in str(info.value)
    (root / "Thermal").rename(root / "thermal_elsewhere")
    with pytest.raises(FileNotFoundError, match="Thermal is missing"):
        read_regdb(root, split=1)


@pytest.mark.parametrize(
    "line", ["../../secret.bmp 0", "/etc/passwd 0", "Visible/../../x.bmp 0"]
)
def test_regdb_refuses_paths_that_leave_the_root(tmp_path, line):
    root = make_regdb(tmp_path / "r")
    (tmp_path / "x.bmp").touch()
    with (root / "idx" / "train_visible_1.txt").open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"train_visible_1.txt, line 7: .* leads out"):
        read_regdb(root, split=1)


@pytest.mark.parametrize(
    "line", ["Visible/0/a.bmp", "Visible/0/a 0.bmp x", "7", "a -1"]
)
def test_regdb_refuses_lines_without_a_label(tmp_path, line):
    root = make_regdb(tmp_path / "r")
    (root / "idx" / "test_visible_1.txt").write_text(line)
    with pytest.raises(ValueError, match="line 1 must be `path label`"):
        read_regdb(root, split=1)


def test_regdb_refuses_an_image_in_both_lists(tmp_path):
    root = make_regdb(tmp_path / "r")
    with (root / "idx" / "train_visible_1.txt").open("a") as file:
        file.write("Visible/100/a 0.bmp 0")
    with pytest.raises(ValueError, match="train and test lists .* share 1 images"):
        read_regdb(root, split=1)


def test_drop_unpaired_names_identities_of_one_modality(caplog):
    ids = np.array([1, 1, 2, 2, 3, 4, 4])
    modality = np.array([0, 1, 0, 0, 1, 1, 0])
    paths = np.array([f"{i}.jpg" for i in range(7)])
    images = datasets.Images(paths, ids, np.ones(7, int), modality)
    with caplog.at_level(logging.WARNING):
        kept = datasets.drop_unpaired(images)
    assert kept.ids.tolist() == [1, 1, 4, 4]
    assert kept.paths.tolist() == ["0.jpg", "1.jpg", "5.jpg", "6.jpg"]
    assert "2 of 4 identities" in caplog.text and "2, 3" in caplog.text
    assert len(datasets.drop_unpaired(images, {2: "ada", 3: "bob"})) == 4
    assert "ada, bob" in caplog.text
    caplog.clear()
    assert len(datasets.drop_unpaired(kept)) == 4 and not caplog.text


@pytest.mark.parametrize(
    ("modalities", "kept"),
    [((0,), [1, 1, 2, 2, 4, 4]), ((1,), [1, 1, 3, 4, 4]), ((), [1, 1, 2, 2, 3, 4, 4])],
)
def test_only_modalities_that_views_show_are_needed(caplog, modalities, kept):
    ids = np.array([1, 1, 2, 2, 3, 4, 4])
    modality = np.array([0, 1, 0, 0, 1, 1, 0])
    images = datasets.Images(ids.astype(str), ids, ids, modality)
    with caplog.at_level(logging.WARNING):
        left = datasets.drop_unpaired(images, modalities=modalities)
    assert left.ids.tolist() == kept
    named = {(0,): "lack visible images", (1,): "lack infrared images", (): ""}
    assert named[modalities] in caplog.text and bool(caplog.text) == bool(modalities)


# The parts of a config


def test_parts_read_what_the_readers_read(tmp_path):
    sysu = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4)))
    regdb = make_regdb(tmp_path / "r")
    pairs = [
        (SysuMM01(str(sysu)), read_sysu_mm01(sysu)),
        (
            SysuMM01(str(sysu), train_on_val=False),
            read_sysu_mm01(sysu, train_on_val=False),
        ),
        (SysuMM01("synvi"), read_sysu_mm01(synvi_root())),
        (RegDB(str(regdb), split=1), read_regdb(regdb, split=1)),
    ]
    for part, expected in pairs:
        part.check()
        dataset = part.read()
        assert dataset.name == expected.name == part.key
        for name in ("train", "val", "test"):
            ours, theirs = getattr(dataset, name), getattr(expected, name)
            assert ours.paths.tolist() == theirs.paths.tolist()
            assert ours.ids.tolist() == theirs.ids.tolist()


def test_which_data_sets_have_validation_identities():
    assert SysuMM01(train_on_val=False).has_validation() and Folder().has_validation()
    for part in (SysuMM01(), RegDB(), LLCM()):
        assert not part.has_validation()


def test_every_data_set_is_found_by_its_key():
    assert list(DATA_SETS) == ["sysu_mm01", "regdb", "llcm", "folder"]
    assert all(part.key == key for key, part in DATA_SETS.items())


def test_every_data_set_has_its_protocol():
    words = {key: part().protocol.key for key, part in DATA_SETS.items()}
    assert words == {
        "sysu_mm01": "sysu",
        "regdb": "regdb",
        "llcm": "llcm",
        "folder": "custom",
    }


@pytest.mark.parametrize("part", [SysuMM01(), RegDB(), LLCM(), Folder()])
def test_an_empty_root_says_how_to_name_it(part):
    with pytest.raises(ValueError) as info:
        part.read()
    text = str(info.value)
    assert "data.root is empty" in text and "--config.data.root=" in text
    assert ("--config.data.tfds=" in text) == (part.key != "folder")
    assert ("--config.data.root=synvi" in text) == (part.key == "sysu_mm01")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SysuMM01("a", tfds="b"), "root is 'a' and tfds 'b'; .* set the other to ''"),
        (LLCM("a", tfds="b"), "root is 'a' and tfds 'b'"),
        (RegDB(split=11), "split is 11; allowed is 1 to 10, or 0 for all"),
        (Folder(test_fraction=1.5), "test_fraction is 1.5; allowed is 0 to 1"),
        (Folder(test_fraction=float("nan")), "test_fraction is nan"),
    ],
)
def test_senseless_fields_are_refused(part, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        part.check()


def test_sensible_fields_pass():
    for part in (SysuMM01("synvi", tfds="b"), RegDB(split=0), RegDB("a"), Folder("a")):
        part.check()


def test_sysu_names_images_of_other_cameras_and_deeper_folders(tmp_path, caplog):
    root = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4)))
    for name in ("cam7/0001/0001.jpg", "cam1/0001/more/2.jpg", "cam2/0007_c1.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    with caplog.at_level(logging.WARNING):
        dataset = read_sysu_mm01(root)
    assert set(dataset.train.cameras) == {1, 2, 3, 4, 5, 6}
    assert "3 images lie where none are read" in caplog.text
    assert f"{root}/cam7/0001/0001.jpg" in caplog.text
    assert "cam{1..6}/{0001..0533}" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_list(tmp_path, encoding):
    root = make_sysu(tmp_path / "s", every_camera((1, 2, 3, 4)))
    (root / "exp" / "train_id.txt").write_text("1,2\r\n", encoding=encoding)
    assert set(read_sysu_mm01(root).train.ids) == {1, 2, 3}
    root = make_regdb(tmp_path / "r")
    expected = read_regdb(root, split=1).train.paths.tolist()
    file = root / "idx" / "train_visible_1.txt"
    file.write_text(file.read_text(), encoding=encoding)
    assert read_regdb(root, split=1).train.paths.tolist() == expected


def test_regdb_reads_the_lists_of_windows(tmp_path):
    root = make_regdb(tmp_path / "r")
    expected = read_regdb(root, split=1).train
    file = root / "idx" / "train_visible_1.txt"
    lines = [line.rpartition(" ") for line in file.read_text().splitlines()]
    changes = (
        lambda path: path.replace("/", "\\"),
        lambda path: f"{root}/{path}",
        lambda path: f"{path}\t",
    )
    for change in changes:
        text = [f"{change(path)} {label}\r\n" for path, _, label in lines]
        file.write_text("".join(text), newline="")
        found = read_regdb(root, split=1).train
        assert found.paths.tolist() == expected.paths.tolist()
        assert found.ids.tolist() == expected.ids.tolist()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Visible\\9\\x.bmp", r"uses \\ as separator"),
        ("D:\\RegDB\\Visible\\x.bmp", "begins with a drive of Windows"),
        ("Visible/9/\u200bx.bmp", r"holds U\+200B, ZERO WIDTH SPACE"),
    ],
)
def test_a_path_that_is_not_found_is_explained(tmp_path, path, message):
    root = make_regdb(tmp_path / "r")
    (root / "idx" / "test_visible_1.txt").write_text(f"{path} 0\n")
    with pytest.raises(FileNotFoundError, match=f"line 1: .* is missing.*{message}"):
        read_regdb(root, split=1)
