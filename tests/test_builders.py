"""Built data sets give what their folders give: lists, bytes, batches, errors."""

import io
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jreid import prepare
from jreid.data import builders
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.datasets import Dataset, Images, drop_unpaired
from jreid.data.llcm import CAMERAS, read_llcm
from jreid.data.pipeline import train_batches
from jreid.data.reading import drop_unreadable
from jreid.data.records import read_built
from jreid.data.regdb import RegDB, read_regdb
from jreid.data.sampling import PerModality
from jreid.data.synvi import synvi_root
from jreid.data.sysu_mm01 import SysuMM01, read_sysu_mm01
from jreid.data.views import View
from jreid.evaluation.protocols.sysu_mm01 import sysu_trial
from jreid.evaluation.rank_lists import RankList
from jreid.run.rank_sheet import save_rank_sheet


def write_image(path: pathlib.Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    size = rng.integers(20, 40, 2)
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def make_sysu(root: pathlib.Path) -> pathlib.Path:
    (root / "exp").mkdir(parents=True)
    for name, ids in (("train", "1,2,5"), ("val", "3"), ("test", "4,6")):
        (root / "exp" / f"{name}_id.txt").write_text(ids)
    for camera in range(1, 7):
        for identity in range(1, 7):
            for number in range(1, 4):
                path = root / f"cam{camera}" / f"{identity:04d}" / f"{number:04d}.jpg"
                write_image(path, 100 * camera + 10 * identity + number)
    return root


def make_regdb(root: pathlib.Path) -> pathlib.Path:
    """Labels 0 and 1 of the lists are other people in `train` and in `test`."""
    (root / "idx").mkdir(parents=True)
    for split in range(1, 11):
        for part, first in (("train", 0), ("test", 2)):
            for name in ("Visible", "Thermal"):
                lines = []
                for label, number in np.ndindex(2, 2):
                    path = f"{name}/{first + label}/{number}.bmp"
                    if split == 1:
                        write_image(root / path, first + label + number)
                    label = label if split == 1 else 1 - label
                    lines.append(f"{path} {label}")
                file = root / "idx" / f"{part}_{name.lower()}_{split}.txt"
                file.write_text("\n".join(lines))
    return root


def make_llcm(root: pathlib.Path) -> pathlib.Path:
    (root / "idx").mkdir(parents=True)
    (root / "idx" / "test_id.txt").write_text("3,4")
    for modality, kind in enumerate(("vis", "nir")):
        lines = []
        for label in range(2):
            path = f"{kind}/{label:04d}/{label:04d}_c05_s1_f1_{kind}.jpg"
            write_image(root / path, label)
            lines.append(f"{path} {label}")
        (root / "idx" / f"train_{kind}.txt").write_text("\n".join(lines))
        for camera in CAMERAS[modality]:
            for identity in (3, 4):
                folder = root / f"test_{kind}" / f"cam{camera}" / f"{identity:04d}"
                write_image(folder / "a.jpg", camera)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return make_sysu(tmp_path_factory.mktemp("sysu") / "s")


@pytest.fixture(scope="module")
def built(tree, tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("tfds")
    prepare.prepare("sysu_mm01", tree, out, [1])
    return out


def assert_same(built: Dataset, tree: Dataset, root: pathlib.Path) -> None:
    """All columns in the same order, the same names and the same bytes."""
    for part in ("train", "val", "test"):
        ours, theirs = getattr(built, part), getattr(tree, part)
        for name in ("ids", "cameras", "modality"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        for path, file in zip(ours.paths, theirs.paths, strict=True):
            relative = pathlib.Path(file).relative_to(root)
            assert pathlib.Path(path).parts[-len(relative.parts) :] == relative.parts
            assert ours.read(path) == pathlib.Path(file).read_bytes()


@pytest.mark.parametrize("train_on_val", [True, False])
def test_sysu_as_its_tree(tree, built, train_on_val):
    assert_same(
        read_built(built, "sysu_mm01", train_on_val=train_on_val),
        read_sysu_mm01(tree, train_on_val=train_on_val),
        tree,
    )
    assert (
        len(list(built.rglob("*.array_record*"))) == 3
    )  # few files, whatever it holds
    assert [path.name for path in built.iterdir()] == ["sysu_mm01"]


def test_regdb_as_its_tree_each_split_apart(tmp_path):
    root = make_regdb(tmp_path / "r")
    prepare.prepare("regdb", root, tmp_path / "out", [1, 7])
    for split in (1, 7):
        ours = RegDB(tfds=str(tmp_path / "out"), split=split).read()
        assert_same(ours, read_regdb(root, split=split), root)
    with pytest.raises(FileNotFoundError, match=r"trial_2.* no data set that TFDS"):
        read_built(tmp_path / "out", "regdb", split=2)


def test_llcm_as_its_tree(tmp_path):
    root = make_llcm(tmp_path / "l")
    prepare.prepare("llcm", root, tmp_path / "out", [1])
    assert_same(read_built(tmp_path / "out", "llcm"), read_llcm(root), root)


@pytest.mark.parametrize(
    ("file", "part"), [("train_visible_1.txt", "train"), ("test_thermal_1.txt", "test")]
)
def test_the_same_files_with_other_labels_are_no_built_set(tmp_path, file, part):
    """The labels of RegDB are in its lists: its files stay as they are."""
    root, out = make_regdb(tmp_path / "r"), tmp_path / "out"
    prepare.prepare("regdb", root, out, [1])
    path = root / "idx" / file
    before = path.read_text()
    lines = before.splitlines()
    path.write_text("\n".join(f"{x[:-1]}{1 - int(x[-1])}" for x in lines))
    with pytest.raises(ValueError, match=f"from other {part} images or labels than"):
        prepare.prepare("regdb", root, out, [1])
    path.write_text("\n".join(lines[::-1]))  # the order is of no account
    prepare.prepare("regdb", root, out, [1])


@pytest.mark.long
def test_synvi_as_its_tree(tmp_path):
    prepare.prepare("synvi", None, tmp_path, [1])
    root = synvi_root()
    embedded = SysuMM01("synvi", tfds=str(tmp_path))
    assert_same(embedded.read(), read_sysu_mm01(root), root)


def batches_of(images: Images) -> list[dict[str, dict[str, np.ndarray]]]:
    pipe = (PadCrop(2), Flip())
    views = {name: View(name, pipe) for name in ("visible", "infrared")}
    stream = train_batches(
        images,
        PerModality(3, 2).make(images, views, 0),
        views=views,
        labels=np.unique(images.ids, return_inverse=True)[1],
        start_step=3,
        stop_step=7,
        seed=0,
        size=(32, 16),
    )
    return list(stream)


def test_training_reads_the_same_from_both(tree, built):
    """Batches bit for bit, labels, draws, and the galleries of a test."""
    theirs, ours = SysuMM01(str(tree)).read(), SysuMM01(tfds=str(built)).read()
    streams = (batches_of(drop_unpaired(part.train)) for part in (theirs, ours))
    count = 0
    for first, second in zip(*streams, strict=True):
        count += 1
        for name in ("images", "ids", "modality"):
            for view in ("visible", "infrared"):
                np.testing.assert_array_equal(first[name][view], second[name][view])
    assert count == 4
    for trial in range(3):
        one, other = (
            sysu_trial(
                ids=part.ids, cameras=part.cameras, paths=part.paths, trial=trial
            )
            for part in (theirs.test, ours.test)
        )
        np.testing.assert_array_equal(one.gallery, other.gallery)


def test_a_rank_sheet_is_drawn_from_records(tree, built, tmp_path):
    sheets = []
    for dataset in (read_sysu_mm01(tree), read_built(built, "sysu_mm01")):
        test = dataset.test
        columns = {k: getattr(test, k) for k in ("paths", "ids", "cameras", "modality")}
        lists = [RankList(30, np.array([0, 5]))]
        save_rank_sheet(tmp_path / "s.png", lists, **columns, read=test.read)
        sheets.append((tmp_path / "s.png").read_bytes())
    assert sheets[0] == sheets[1]


def test_unreadable_images_are_named(tree, tmp_path, caplog):
    root = shutil.copytree(tree, tmp_path / "s")
    (root / "cam1" / "0001" / "0002.jpg").write_bytes(b"\xff\xd8\xff no jpeg")
    (root / "cam3" / "0004" / "0001.jpg").write_bytes(b"")
    prepare.prepare("sysu_mm01", root, tmp_path / "out", [1])
    dataset = SysuMM01(tfds=str(tmp_path / "out")).read()
    for images, count in ((dataset.train, 6 * 4 * 3), (dataset.test, 6 * 2 * 3)):
        readable = drop_unreadable(images, size=(32, 16), max_fraction=0.1)
        assert len(readable.images) == count - 1
    assert "sysu_mm01/1.0.0/cam1/0001/0002.jpg: " in caplog.text
    assert "sysu_mm01/1.0.0/cam3/0004/0001.jpg: " in caplog.text


def test_tfds_load_and_data_source_know_the_builders(tmp_path):
    root = make_sysu(tmp_path / "s")
    options = {
        "download_and_prepare_kwargs": {
            "download_config": tfds.download.DownloadConfig(manual_dir=str(root))
        },
        "split": "val",
    }
    decoders = {"image": tfds.decode.SkipDecoding()}
    dataset = tfds.load(
        "sysu_mm01", data_dir=str(tmp_path / "a"), decoders=decoders, **options
    )
    example = next(iter(tfds.as_numpy(dataset)))
    file = root / example["path"].decode()
    assert example["image"] == file.read_bytes() and example["id"] == 3
    source: Any = tfds.data_source(
        "sysu_mm01",
        data_dir=str(tmp_path / "b"),
        builder_kwargs={"file_format": "array_record"},
        **options,
    )
    example = source[4]
    file = root / example["path"].decode()
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        np.testing.assert_array_equal(example["image"], np.asarray(image))
    # Without random access it is of no use for training.
    with pytest.raises(ValueError, match="without random access; build it anew"):
        read_built(tmp_path / "a", "sysu_mm01")


def test_manual_downloads_say_how_to_get_the_data(tmp_path):
    for name, source in (
        ("sysu_mm01", "github.com/wuancong/SYSU-MM01"),
        ("regdb", "dm.dongguk.edu"),
        ("llcm", "github.com/ZYK100/LLCM"),
    ):
        instructions = builders.BUILDERS[name].MANUAL_DOWNLOAD_INSTRUCTIONS
        assert source in instructions and "signed agreement" in instructions
    (tmp_path / "empty").mkdir()
    for root in ("empty", "nowhere"):
        with pytest.raises(FileNotFoundError, match="does not exist or is empty"):
            prepare.prepare("regdb", tmp_path / root, tmp_path / "out", [1])
    # Partly there: TFDS would not notice, the reader does.
    root = make_sysu(tmp_path / "s")
    (root / "exp" / "val_id.txt").unlink()
    with pytest.raises(FileNotFoundError, match="val_id.txt is missing"):
        prepare.prepare("sysu_mm01", root, tmp_path / "out", [1])
    assert not list((tmp_path / "out").rglob("*.array_record*"))


def test_a_damaged_data_set_is_named(built, tmp_path):
    out = shutil.copytree(built, tmp_path / "out")
    file = next(out.rglob("*test.array_record*"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="sysu_mm01/1.0.0 is damaged"):
        read_built(out, "sysu_mm01")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "regdb"], "--root is needed"),
        (["--dataset", "synvi", "--root", "x"], "--root is needed, except"),
        (["--dataset", "llcm", "--root", "x", "--split", "2"], "--split is for regdb"),
    ],
)
def test_the_program_refuses_clearly(tmp_path, capsys, arguments, message):
    assert prepare.main([*arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_program_says_what_it_built_or_why_not(tree, built, tmp_path, capsys):
    assert (
        prepare.main(["--dataset=sysu_mm01", f"--root={tree}", f"--out={built}"]) == 0
    )
    out = capsys.readouterr().out
    assert "1.0.0: was there already; images: train 54, val 18, test 36" in out
    root = str(tmp_path / "nowhere")
    assert prepare.main(["--dataset=llcm", f"--root={root}", "--out=x"]) == 2
    error = capsys.readouterr().err
    assert "error: " in error and "github.com/ZYK100/LLCM" in error
