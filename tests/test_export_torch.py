"""An exported run embeds as jreid does, alone, and without running what it reads."""

import ast
import dataclasses
import importlib
import json
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import parity
import pytest
import tensorflow as tf
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image

from jreid.config_files import load
from jreid.config_json import to_json
from jreid.data import resizing
from jreid.data.grey16 import Grey16
from jreid.data.image_file import read_rgb
from jreid.export import __main__ as program
from jreid.export import embedding
from jreid.export.torch_network.from_config import network_arguments
from jreid.models.embedding import Embedding
from jreid.run.checkpoint import Checkpoints
from jreid.training.build import build_embed

pytestmark = pytest.mark.torch

ROOT = pathlib.Path(__file__).parent.parent
HEIGHT, WIDTH = parity.SIZE
PROGRAM = """
import json, sys, model
images = model.read(sys.argv[1:])
vectors = {name: model.embed(images, name).tolist() for name in model.STREAMS}
loaded = {"jax", "flax", "jreid", "tensorflow"} & set(sys.modules)
print(json.dumps({"vectors": vectors, "loaded": sorted(loaded)}))
"""


def make_run(folder, variant="full", **options):
    """What a run leaves behind, of random weights: config, identities, checkpoint."""
    config = parity.tiny(variant)
    config.name = 'a-"name"""'
    config.embedding = Embedding(**options)
    params, stats = parity.random_weights(config, np.float32)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    identities = list(range(parity.CLASSES))
    training_set = {"identities": identities, "images": 20, "crc32_of_names": 0}
    (folder / "training_set.json").write_text(json.dumps(training_set))
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(7, {"params": params, "stats": stats})
    return config, params, stats


def export(workdir, out, *more):
    """The exit code of the program."""
    words = ["--workdir", str(workdir), "--format", "torch", "--out", str(out)]
    return program.main([*words, *more])


def run(folder, *arguments):
    """Python in `folder`, where no module of ours can be found."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )


def make_pictures(folder, rng):
    """Of the size of training, without loss: one grey, one with an alpha channel."""
    pixels = rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[1] = pixels[1, ..., :1]
    pictures = [Image.fromarray(image) for image in pixels]
    pictures[1], pictures[2] = pictures[1].convert("L"), pictures[2].convert("RGBA")
    paths = [str(folder / f"{index}.png") for index in range(3)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return pixels, paths


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("full", {}),
        pytest.param(
            "gem_max",
            {"features": 1.0, "embeddings": 0.0, "flip": True},
            marks=pytest.mark.long,
        ),
    ],
)
def test_exported_network_embeds_as_jreid_does(tmp_path, rng, variant, options):
    workdir, out = tmp_path / "run", tmp_path / "out"
    config, params, stats = make_run(workdir, variant, **options)
    assert export(workdir, out) == 0
    pixels, paths = make_pictures(tmp_path, rng)
    embed = build_embed(config, parity.CLASSES)
    done = run(out, "-c", PROGRAM, *paths)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["loaded"] == []
    for modality, vectors in answer["vectors"].items():
        expected = embed(params, stats, jnp.asarray(pixels), modality)["fused"]
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_pictures_are_read_as_jreid_reads_them(exported, tmp_path, rng, monkeypatch):
    """Rotated by EXIF, of 16 bits (which Pillow clips), CMYK, of a palette, grown."""
    pixels = rng.integers(0, 256, (HEIGHT + 30, WIDTH * 2, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture.quantize(16).save(tmp_path / "palette.png")
    deep = 256 * pixels[:12, :8, 0].astype(np.uint16) + 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    names = ["turned.jpg", "cmyk.jpg", "palette.png", "deep.png"]
    paths = [str(tmp_path / name) for name in names]
    monkeypatch.syspath_prepend(exported)
    monkeypatch.delitem(sys.modules, "model", raising=False)
    model = importlib.import_module("model")
    for grey16 in (Grey16(), Grey16("image"), Grey16(low=5000, high=30000)):
        model.EMBEDDING["grey16"] = dataclasses.asdict(grey16)
        ours = model.read(paths).numpy().astype(int)
        for row, path in zip(ours, paths, strict=True):
            whole = tf.constant(read_rgb(pathlib.Path(path).read_bytes(), grey16))
            expected = resizing.resize_image(whole, (HEIGHT, WIDTH)).numpy()
            assert np.abs(row - expected).max() <= 1, path


def test_a_machine_without_torch_is_told_so(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('gone')")
    make_run(tmp_path / "run", "base")
    words = ["--workdir", "run", "--format", "torch", "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "jreid.export", *words],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: torch is not installed (gone): pip install 'jreid[torch]'\n"
    )


def test_the_modules_imports_are_sorted_and_stand_once(exported):
    statements = ast.parse((exported / "model.py").read_text()).body
    modules = [s.module for s in statements if isinstance(s, ast.ImportFrom)]
    assert len(modules) == len(set(modules)) > 1
    assert modules[-2:] == ["torch", "torch.nn"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    make_run(folder / "run", "base")
    assert export(folder / "run", folder / "out", "--step", "7") == 0
    return folder / "out"


@pytest.mark.parametrize("system", ["adca", "cmcen_adv", "cmgan", "ddag"])
def test_a_part_that_pytorch_has_not_is_refused_by_name(system):
    with pytest.raises(ValueError, match=r"config.network.* the PyTorch side has not"):
        network_arguments(load(f"sysu:{system}"), 395)


def test_the_file_holds_tensors_alone(exported):
    state_dict = torch.load(exported / "model.pth", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in state_dict.values())


def test_a_pickle_that_runs_code_is_refused(exported, tmp_path):
    class Attack:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    poisoned = tmp_path / "out"
    poisoned.mkdir()
    (poisoned / "model.py").write_text((exported / "model.py").read_text())
    with (
        zipfile.ZipFile(exported / "model.pth") as good,
        zipfile.ZipFile(poisoned / "model.pth", "w") as bad,
    ):
        for name in good.namelist():
            attacked = name.endswith("data.pkl")
            content = pickle.dumps(Attack(), 2) if attacked else good.read(name)
            bad.writestr(name, content)
    _, paths = make_pictures(tmp_path, np.random.default_rng(0))
    done = run(poisoned, "model.py", *paths, "--modality", "visible")
    assert done.returncode == 2
    assert done.stderr.startswith("error: model.pth is damaged")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_demo_ranks_the_gallery(exported, tmp_path, rng):
    _, paths = make_pictures(tmp_path, rng)
    arguments = ["model.py", paths[0], "--modality", "infrared", "--gallery", *paths]
    done = run(exported, *arguments)
    assert done.returncode == 0, done.stderr
    query, *ranked = done.stdout.splitlines()
    assert query == paths[0]
    assert sorted(line.split()[1] for line in ranked) == paths
    similarities = [float(line.split()[0]) for line in ranked]
    assert similarities == sorted(similarities, reverse=True)
    alone = run(exported, "model.py", paths[0], "--modality", "visible")
    assert alone.stdout.splitlines()[1] == f"  1.0000  {paths[0]}"


def test_bad_input_is_one_line(exported, tmp_path, capsys):
    done = run(exported, "model.py", "missing.png", "--modality", "visible")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    missing, out = str(tmp_path / "missing"), str(tmp_path / "out")
    assert export(missing, out) == 2
    assert capsys.readouterr().err.startswith("error: no config.json in")
    workdir = str(exported.parent / "run")
    assert export(workdir, out, "--step", "3") == 2
    assert "no checkpoint of step 3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "run", "base")
    monkeypatch.setattr(embedding, "LIMIT", 0.0)
    out = tmp_path / "out"
    assert export(tmp_path / "run", out) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not (out / "model.py").exists()


@pytest.mark.slow
def test_what_is_timed_beside_each_other_makes_the_same_vectors(monkeypatch):
    """Also of two passes, an image's and its mirror image's."""
    pytest.importorskip("onnxruntime")
    from tools import benchmark_export

    config = parity.tiny("base")
    config.embedding = Embedding(features=1.0, embeddings=0.0, flip=True)
    monkeypatch.setattr(benchmark_export, "load", lambda _: config)
    made, size = benchmark_export.runs("")
    images = embedding.random_images(2, size)
    expected = made["jreid"](images)
    for run_ in made.values():
        np.testing.assert_allclose(run_(images), expected, atol=1e-4)
