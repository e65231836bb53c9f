"""`python -m jreid.export`, its files and its card, and search without JAX."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import crops
import jax.numpy as jnp
import numpy as np
import patient_http
import pytest
import untrained
from PIL import Image

from jreid.config_hash import config_hash
from jreid.config_json import to_json
from jreid.data.grey16 import Grey16
from jreid.export import __main__ as program
from jreid.export import embedding
from jreid.export.about import about_file
from jreid.export.card import card
from jreid.models.embedding import Embedding
from jreid.run import frozen
from jreid.run.frozen import open_run
from jreid.search import Embedder, Gallery

pytestmark = pytest.mark.usefixtures("systems_built_once")

ROOT = pathlib.Path(__file__).parent.parent
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason="needs jreid[export]",
)
WITHOUT_JAX = """
import sys
class Missing:  # None in sys.modules is taken for JAX by SciPy
    names = {"jax", "jaxlib", "flax", "tensorflow", "onnx", "jaxtyping"}
    def find_spec(self, name, *_):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import numpy as np
from jreid.search import Embedder
embedder = Embedder.from_onnx("model.onnx")
np.save("vectors.npy", embedder(["0.png", "1.png"], ["visible", "infrared"]))

from jreid.search.__main__ import main as search
from jreid.serve.__main__ import main as serve
own = ["--gallery", "gallery", "--model", "model.onnx"]
assert search(["index", ".", *own]) == 0
sys.exit(serve([*own, "--port", "0"]))
"""
WITHOUT_JREID = """
import sys
import jax.export, numpy as np
with open("model.stablehlo", "rb") as file:
    embed = jax.export.deserialize(bytearray(file.read())).call
images = np.load("images.npy")
np.save("vectors.npy", embed(images, np.int32(1)))
assert not any(name.startswith("jreid") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    untrained.make_run(folder)
    return folder


def export(workdir, kind, out, *more):
    words = ["--workdir", str(workdir), "--format", kind, "--out", str(out)]
    return program.main([*words, *more])


def begun(folder, code, path: str | pathlib.Path = "."):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pictures(folder, rng):
    paths = [folder / f"{number}.png" for number in range(2)]
    for path in paths:
        pixels = rng.integers(0, 256, (50, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.slow
@needs_onnx
def test_an_onnx_file_searches_without_jax(run, tmp_path, rng, capsys):
    assert export(run, "onnx", tmp_path / "model.onnx") == 0
    assert "at batches of 1 and 7 images" in capsys.readouterr().out
    paths = pictures(tmp_path, rng)
    with begun(tmp_path, WITHOUT_JAX, ROOT) as page:
        assert page.stdout and page.stderr
        url = next((line for line in page.stdout if line.startswith("http")), "")
        assert url, page.stderr.read()
        try:
            asked = {"files": paths[0].read_bytes()}
            own = {"base_url": url.strip(), "headers": {"X-Jreid": "1"}}
            with patient_http.Client(**own) as client:
                info = client.get("/api/info").json()
                hits = client.post("/api/query", files=asked).json()["hits"]
        finally:
            page.terminate()
            page.communicate(timeout=60)
    assert [hit["path"] for hit in hits] == ["0.png", "1.png"]
    assert not info["explains"] and "an exported file" in info["unexplained"]
    ours, theirs = Embedder.from_run(run), Embedder.from_onnx(tmp_path / "model.onnx")
    expected = ours(paths, ["visible", "infrared"])
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), expected, atol=1e-5)
    same = ("dim", "fingerprint", "size", "resize", "grey16")
    assert all(getattr(ours, name) == getattr(theirs, name) for name in same)
    assert isinstance(theirs.grey16, Grey16)


@pytest.mark.slow
def test_a_stablehlo_file_needs_jax_alone(run, tmp_path, rng):
    assert export(run, "stablehlo", tmp_path / "model.stablehlo") == 0
    frozen = open_run(run)
    images = rng.integers(0, 256, (5, *frozen.config.size, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    with begun(tmp_path, WITHOUT_JREID) as child:
        _, told = child.communicate()
    assert child.returncode == 0, told
    expected = frozen(images, "infrared")
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), expected, atol=1e-5)
    text = (tmp_path / "MODEL.md").read_text()
    for told in (frozen.fingerprint, "32 x 16", "SYSU-MM01 is given", "not been eval"):
        assert told in text, told
    assert f'"name": "{frozen.config.name}"' in text
    assert '"root"' not in text  # a place of this machine


@pytest.mark.slow
def test_a_file_that_differs_is_not_written(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(embedding, "LIMIT", 0.0)
    assert export(run, "stablehlo", tmp_path / "model.stablehlo") == 2
    error = capsys.readouterr().err
    assert "differ by" in error and "nothing was written" in error
    assert list(tmp_path.iterdir()) == []


def in_bfloat16(folder):
    config = untrained.make_run(folder)
    config.precision = "bfloat16"
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    return open_run(folder)


def test_a_file_of_a_run_in_bfloat16_says_that_it_is_not_quite_the_run(tmp_path):
    run = in_bfloat16(tmp_path / "run")
    told = about_file(run)
    assert told["config_hash"] == config_hash(run.config)
    assert told["fingerprint"] != run.fingerprint
    text = card(run, "onnx", "model.onnx", 1e-6)
    for one in (told["fingerprint"], told["config_hash"], run.fingerprint):
        assert f"`{one}`" in text
    assert '"precision": "bfloat16"' in text and "computes in bfloat16" in text
    files = crops.make_crops(tmp_path / "images", 1)
    ours = Embedder.from_run(tmp_path / "run")
    theirs = Embedder._of_run(run, told, None)
    for made, given, remedy in (
        (ours, theirs, f"give the run {tmp_path / 'run'} with --step "),
        (theirs, ours, "give the exported file it was made with, or"),
    ):
        place = tmp_path / made.fingerprint
        Gallery.create(place, made, files).close()
        with pytest.raises(ValueError, match="float32 of a run in bfloat16") as refused:
            Gallery.open(place, given)
        assert remedy in str(refused.value)


def test_a_file_of_a_run_in_float32_is_the_run(run):
    opened = open_run(run)
    told, text = about_file(opened), card(opened, "onnx", "model.onnx", 1e-6)
    assert told["fingerprint"] == opened.fingerprint
    assert told["config_hash"] == config_hash(opened.config)
    assert "precision" not in told and "rounded otherwise" not in text


@pytest.mark.parametrize("measure, differs", [("cosine", False), ("product", True)])
def test_a_card_says_where_its_scores_are_of_other_lengths(run, measure, differs):
    """A run's products are of vectors whose lengths the file does not give."""
    path = run / "results.json"
    path.write_text(json.dumps({"step": 7, "measure": measure, "scores": []}))
    text = card(open_run(run), "onnx", "model.onnx", 1e-6)
    path.unlink()
    assert f"compared by the {measure} measure" in text
    assert ("the scores are the run's and not quite the file's" in text) == differs


def test_a_folder_is_no_file(run, tmp_path, capsys):
    assert export(run, "onnx", tmp_path) == 2
    assert "a folder: give the file" in capsys.readouterr().err


@needs_onnx
@pytest.mark.parametrize(
    ("contents", "told"), [(None, "no file"), (b"nonsense", "is no ONNX model")]
)
def test_other_files_are_refused(tmp_path, contents, told):
    path = tmp_path / "model.onnx"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        Embedder.from_onnx(path)


def test_the_fingerprint_is_of_all_that_vectors_depend_on(run):
    one = open_run(run)
    config = dataclasses.replace(one.config, embedding=Embedding(flip=True))
    others = [
        dataclasses.replace(one, grey16=Grey16(low=1, high=9)),
        dataclasses.replace(one, network=one.network._replace(checksum=1)),
        dataclasses.replace(one, network=one.network._replace(step=8)),
        dataclasses.replace(one, kind="v1"),
        dataclasses.replace(one, config=config),
        dataclasses.replace(one, config=dataclasses.replace(config, seed=5)),
    ]
    found = [each.fingerprint for each in (one, *others)]
    assert len({*found[:-1]}) == len(found) - 1
    assert open_run(run).fingerprint == found[0]


def test_a_card_has_the_scores_of_its_vectors_and_step(run):
    def score(feature, mean):
        of = {"protocol": "sysu", "setting": "all", "draw": "agw", "reranked": False}
        values = {"mean": {"R-1": mean}, "interval": {"R-1": [mean - 0.1, mean + 0.1]}}
        return of | values | {"feature": feature}

    results, record = run / "results.json", run / "pretrained.json"
    told = {"measure": "cosine", "scores": [score("fused", 0.5), score("v1", 0.25)]}
    texts = []
    for step, kind in ((7, "fused"), (6, "v1")):
        results.write_text(json.dumps({"step": step, **told}))
        opened = open_run(run, kind=kind)
        texts.append(card(opened, "onnx", "model.onnx", 1e-6))
    about = {"source": "resnet50.pth"}
    record.write_text(json.dumps({"path": "a", "sha256": "ab12", "about": about}))
    texts.append(card(opened, "onnx", "model.onnx", 1e-6))
    results.unlink()
    record.unlink()
    rows = [
        "| sysu | all | agw | no | 50.00 (40.00 to 60.00) |",
        "| sysu | all | agw | no | 25.00 (15.00 to 35.00) |",
    ]
    assert [row in texts[0] for row in rows] == [True, False]
    assert [row in texts[1] for row in rows] == [False, True]
    assert ["Not of this file's step, 7" in x for x in texts[:2]] == [False, True]
    assert "random weights" in texts[1] and "random weights" not in texts[2]
    assert "`resnet50.pth` (SHA-256 ab12)" in texts[2]
    assert "have terms of their own" in texts[2] and "terms of their" not in texts[1]


@pytest.mark.parametrize("wrong", ["visible", "infrared", "seven", None])
def test_a_file_is_compared_in_both_modalities_and_batches(wrong):
    def vectors(params, stats, images, modality):
        return {"fused": jnp.asarray(images.reshape(len(images), -1) / 255.0)}

    def embed(images, modality):
        name = ("visible", "infrared")[int(modality)]
        off = wrong == name or (wrong == "seven" and len(images) == 7)
        return np.asarray(network(images, name)) + off

    network = embedding.Network(vectors, {}, {}, "fused", (4, 2))
    if wrong is None:
        assert embedding.largest_difference(network, embed) == 0
        return
    with pytest.raises(ValueError, match="nothing was written"):
        embedding.largest_difference(network, embed)


def test_the_program_exports_what_it_is_told(run, tmp_path, monkeypatch):
    asked = []

    def opened(*given):
        asked.append(given)
        raise ValueError("enough")

    monkeypatch.setattr(frozen, "open_run", opened)
    more = ["--step=3", "--kind=v1", "--config=own.py"]
    assert export(run, "onnx", tmp_path / "model.onnx", *more) == 2
    assert asked == [(run, 3, "v1", pathlib.Path("own.py"))]
