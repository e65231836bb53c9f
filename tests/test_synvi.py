"""The embedded data set: what is in it, how it is extracted, how it is made."""

import hashlib
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tarfile
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from jreid.data import synvi
from jreid.data.datasets import INFRARED, VISIBLE
from jreid.data.sysu_mm01 import read_sysu_mm01

ARCHIVE = pathlib.Path(synvi.__file__).with_name("synvi.tar.xz")
PROGRAM = pathlib.Path(__file__).parents[1] / "tools" / "make_synvi.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JREID_CACHE", str(cache))
        yield synvi.synvi_root()


def contents(folder):
    """SHA-256 over names and bytes of all files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def test_archive_is_small_and_tidy():
    assert ARCHIVE.stat().st_size <= 10e6
    with tarfile.open(ARCHIVE) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {"synvi/LICENSE", "synvi/README.txt"} <= set(names)
    assert all(m.isfile() and m.mtime == 0 and m.uid == m.gid == 0 for m in members)


def test_reads_as_sysu_mm01(root):
    dataset = read_sysu_mm01(root, train_on_val=False)
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = {name: len(np.unique(part.ids)) for name, part in parts.items()}
    assert sizes == {"train": 200, "val": 20, "test": 40}
    for name, part in parts.items():
        for camera in range(1, 7):
            here = part.cameras == camera
            images = 4 if camera in (3, 6) else 3
            assert here.sum() == images * sizes[name]
            assert set(np.bincount(part.ids[here])) <= {0, images}
            modality = INFRARED if camera in (3, 6) else VISIBLE
            assert set(part.modality[here]) == {modality}


def test_identities_of_the_lists_are_disjoint(root):
    lists = [
        set((root / "exp" / f"{part}_id.txt").read_text().strip().split(","))
        for part in ("train", "val", "test")
    ]
    assert len(set.union(*lists)) == sum(map(len, lists)) == 260


@pytest.mark.long
def test_every_image_decodes_and_only_infrared_is_grey(root):
    paths = sorted(root.glob("cam*/*/*.jpg"))
    assert len(paths) == 260 * (4 * 3 + 2 * 4)
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture).astype(int)
        assert pixels.shape == (128, 64, 3)
        assert pixels.std() > 5, f"{path} is flat"
        coloured = np.ptp(pixels, axis=-1).max() > 8
        assert coloured != (path.parts[-3] in ("cam3", "cam6")), path


def test_no_two_images_are_equal(root):
    digests = [hashlib.sha256(p.read_bytes()).digest() for p in root.glob("cam*/*/*")]
    assert len(set(digests)) == len(digests)


def test_second_call_extracts_nothing(root, monkeypatch):
    monkeypatch.setenv("JREID_CACHE", str(root.parent))
    monkeypatch.setattr(synvi, "_extract", None)
    assert synvi.synvi_root() == root


def _root_in(cache):
    os.environ["JREID_CACHE"] = cache
    return str(synvi.synvi_root())


@pytest.mark.long
def test_many_processes_at_once(root, tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        roots = pool.map(_root_in, [str(tmp_path)] * 3, chunksize=1)
    assert len(set(roots)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
    assert contents(roots[0]) == contents(root)


def test_a_broken_extraction_leaves_nothing(tmp_path, monkeypatch):
    def stop(self, path, **kwargs):
        (pathlib.Path(path) / "synvi").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("JREID_CACHE", str(tmp_path))
    monkeypatch.setattr(tarfile.TarFile, "extractall", stop)
    with pytest.raises(OSError, match="No space left.*JREID_CACHE") as caught:
        synvi.synvi_root()
    assert caught.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_unwritable_cache_names_place_and_remedy(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("JREID_CACHE", str(blocked / "cache"))
    with pytest.raises(NotADirectoryError, match="set the environment variable"):
        synvi.synvi_root()


def make(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "128x128"), "twice as high as wide"),
        (("--size", "big"), "HEIGHTxWIDTH"),
        (("--ids", 2), "3 to 9999"),
        (("--images", 0), "1 to 9999"),
        (("--seed", -1), "whole numbers from 0"),
        (("--turn", 400), "0 to 360"),
        (("--occluded", 1.5), "0 to 1"),
    ],
)
def test_bad_arguments_are_explained(tmp_path, arguments, message):
    done = make("--out", tmp_path / "new", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_an_old_folder_is_never_overwritten(tmp_path):
    (tmp_path / "kept").write_text("")
    done = make("--out", tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(n) is None for n in ("anny", "body_models", "embreex", "trimesh")),
    reason="the generator's packages are not installed",
)
def test_generator_depends_on_the_seed_alone(tmp_path):
    small = ("--ids", 3, "--images", 1, "--size", "64x32")
    digests = {}
    others = {
        "a": (),
        "b": ("--workers", 2),
        "c": ("--seed", 1),
        "turned": ("--turn", 180),
        "hidden": ("--occluded", 1),
    }
    for name, extra in others.items():
        out, archive = tmp_path / name, tmp_path / f"{name}.tar.xz"
        done = make("--out", out, "--archive", archive, *extra, *small)
        assert done.returncode == 0, done.stderr
        images = sorted(out.glob("cam*/*/*.jpg"))
        assert len(images) == 3 * (4 + 2 * 2)
        pictures = hashlib.sha256(b"".join(path.read_bytes() for path in images))
        digests[name] = pictures.digest(), archive.read_bytes()
    assert digests["a"] == digests["b"]
    assert len({digest for digest, _ in digests.values()}) == len(others) - 1
