"""The embedding program on a run that was trained for one step."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
import tiny
from PIL import Image

from jreid import embed, train
from jreid.run.embedding_shards import ERRORS
from jreid.run.file_embedder import FileEmbedder, RunToEmbed

pytestmark = pytest.mark.usefixtures("systems_built_once")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def workdir(tree, tmp_path_factory, systems_built_once):
    config = tiny.tiny_config(tree)
    config.steps = 1
    workdir = tmp_path_factory.mktemp("run")
    assert train.train(config, workdir) == 0
    return workdir


@pytest.fixture
def images(tmp_path, tree):
    """A list of the test images, with one that is missing and one that is no image."""
    lines = []
    for camera, modality in ((1, "visible"), (3, "infrared"), (4, "visible")):
        for path in sorted((tree / f"cam{camera}").glob("000[67]/*.jpg")):
            lines.append(f"{path}\t{modality}\n")
    (tmp_path / "text.jpg").write_text("no image")
    lines[2:2] = ["missing.jpg\tvisible\n", "text.jpg\tinfrared\n"]
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path / "list.txt"


def run(workdir, images, out, *options):
    arguments = ["--workdir", workdir, "--images", images, "--out", out, *options]
    return embed.main([str(argument) for argument in arguments])


def read(out):
    shards = sorted(out.glob("embeddings-*.parquet"))
    return [row for shard in shards for row in parquet.read_table(shard).to_pylist()]


@pytest.mark.slow
def test_a_job_tells_its_weights_its_measure_and_its_people(workdir):
    network = FileEmbedder(RunToEmbed(workdir))
    settings = network.settings("float32")
    assert settings["embedding"]["measure"] == "cosine"
    own = {"key": "sysu_mm01", "train_on_val": network.config.data.train_on_val}
    assert settings["data"] == own
    weights = network._run.network._replace(checksum=1)
    other = dataclasses.replace(network._run, network=weights)
    told = settings["fingerprint"]
    assert network._run.fingerprint == told != other.fingerprint


@pytest.mark.slow
def test_embeddings_are_those_of_the_evaluation(workdir, images, tmp_path, capfd):
    out = tmp_path / "out"
    assert run(workdir, images, out, "--dtype=float32", "--shard-size=5") == 0
    scored = np.load(workdir / "features.npz")
    expected = dict(zip(scored["paths"].tolist(), scored["fused"], strict=True))
    rows = read(out)
    assert len(rows) == 12
    for row in rows:
        np.testing.assert_allclose(row["embedding"], expected[row["path"]], atol=1e-6)
    errors = parquet.read_table(out / ERRORS).to_pylist()
    assert [row["path"] for row in errors] == ["missing.jpg", "text.jpg"]
    assert "12 embeddings in 3 shards" in capfd.readouterr().out

    # What is missing is done again, by any number of parts, and comes out the same.
    shards = sorted(out.glob("embeddings-*.parquet"))
    before = [shard.read_bytes() for shard in shards]
    for shard in shards[:2]:
        shard.unlink()
    options = ("--dtype=float32", "--shard-size=5")
    assert run(workdir, images, out, *options, "--part=1/2") == 0
    assert "1 of 3 shards are left to other parts" in capfd.readouterr().out
    assert run(workdir, images, out, *options, "--part=0/2") == 0
    assert [shard.read_bytes() for shard in shards] == before


@pytest.mark.long
def test_a_ray_cluster_makes_the_same_files(workdir, images, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'jreid[ray]'")
    environment = os.environ | {"RAY_worker_niceness": "0"}
    made = {}
    for name, more in (("one", []), ("ray", ["--ray=local"])):
        words = ["--workdir", workdir, "--images", images, "--out", tmp_path / name]
        words += ["--shard-size=5", "--batch-size=2", *more]
        command = [sys.executable, "-m", "jreid.embed", *map(str, words)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert "12 embeddings in 3 shards" in ran.stdout
        files = (tmp_path / name).iterdir()
        made[name] = {path.name: path.read_bytes() for path in files if path.suffix}
    assert made["one"] == made["ray"]
    assert {"job.json", ERRORS, "embeddings-00002-of-00003.parquet"} <= set(made["ray"])


@pytest.mark.slow
def test_a_folder_is_embedded_by_the_names_of_its_folders(workdir, tmp_path):
    for name in ("visible/a.jpg", "infrared/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.new("RGB", (20, 40)).save(tmp_path / "in" / name)
    assert run(workdir, tmp_path / "in", tmp_path / "out", "--kind=v1") == 0
    rows = read(tmp_path / "out")
    assert [(row["path"], row["modality"]) for row in rows] == [
        ("infrared/b.png", "infrared"),
        ("visible/a.jpg", "visible"),
    ]
    assert np.linalg.norm(rows[0]["embedding"]) == pytest.approx(1, abs=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part=4/4"], "--part is '4/4'"),
        (["--kind=v3"], "this run has fused, v1, v2"),
        (["--shard-size=0"], "shard size is 0"),
        (["--step=77"], "77"),
    ],
)
def test_refusals_are_one_line(workdir, images, tmp_path, capfd, options, message):
    assert run(workdir, images, tmp_path / "out", *options) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
