"""The embedder of a run: training's vectors, from any image, without TensorFlow."""

import json
import subprocess
import sys

import crops
import numpy as np
import pytest
import untrained

from jreid import user_files
from jreid.config_json import to_json
from jreid.data import reading
from jreid.run import frozen, kept
from jreid.run.frozen import open_run
from jreid.search import Embedder
from jreid.search.calibrate import held_out_people

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("systems_built_once")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder and config; what is kept of it goes into a folder of its own."""
    with pytest.MonkeyPatch.context() as patched:
        base = tmp_path_factory.mktemp("embedder")
        patched.setenv("JREID_CACHE", str(base / "cache"))
        yield base / "run", untrained.make_run(base / "run")


@pytest.fixture(scope="module")
def embedder(run):
    return Embedder.from_run(run[0])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        crops.person("ada", number).resize((50, 130)).save(path)
    return paths


def test_vectors_are_those_of_trainings_pipeline(run, embedder, files):
    folder, config = run
    pixels, _ = reading.make_reader(config.size, config.resize, 1)(
        [str(path) for path in files]
    )
    for modality in ("visible", "infrared"):
        expected = open_run(folder)(pixels, modality)
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        cosines = (embedder(files, modality) * expected).sum(axis=1)
        assert cosines.min() > 0.9999


def test_one_image_and_many_give_the_same_vectors(embedder, files):
    together = embedder(files, ["visible", "infrared", "visible"])
    alone = [embedder(files[0], "visible"), embedder(files[1], "infrared")]
    np.testing.assert_allclose(together[:2], np.concatenate(alone), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert together.shape == (3, embedder.dim)
    in_array = embedder(np.array([str(path) for path in files]), "visible")
    np.testing.assert_array_equal(in_array, embedder(files, "visible"))
    assert not np.allclose(*embedder([files[0]] * 2, ["visible", "infrared"]))


def test_what_is_kept_of_a_run_is_the_run(run, embedder, files):
    again = Embedder.from_run(run[0])
    assert isinstance(kept.kept(kept.key_of(run[0], None, "fused", None)), kept.KeptRun)
    assert (again.fingerprint, again.about) == (embedder.fingerprint, embedder.about)
    for modality in ("visible", "infrared"):
        np.testing.assert_allclose(
            again(files[0], modality), embedder(files[0], modality), atol=1e-5
        )
    np.testing.assert_allclose(
        again(files, "visible"), embedder(files, "visible"), atol=1e-5
    )


def test_what_is_kept_of_a_run_with_a_file_of_ones_own(tmp_path, monkeypatch):
    run, file, beside = (tmp_path / name for name in ("run", "own.py", "beside_own.py"))
    beside.write_text("VALUE = 1\n")
    file.write_text(
        "from dataclasses import dataclass\n"
        "from beside_own import VALUE\n"
        "from jreid.data.sysu_mm01 import SysuMM01\n"
        "@dataclass(slots=True)\n"
        "class Own(SysuMM01):\n"
        "    def read(self): raise ValueError('own.py is asked')\n"
    )

    def as_in_a_new_process():
        monkeypatch.setattr(user_files, "_loaded", {})
        for name in ("file own.py", "beside_own"):
            sys.modules.pop(name, None)

    config = untrained.make_run(run)
    config.data = user_files.load_file(file).Own()
    (run / "config.json").write_text(json.dumps(to_json(config)))
    Embedder.from_run(run, config=file)

    def opened(*_):
        raise AssertionError("it was not kept")

    monkeypatch.setattr(frozen, "open_run", opened)
    as_in_a_new_process()
    embedder = Embedder.from_run(run, config=file)
    with pytest.raises(ValueError, match="own.py is asked"):
        held_out_people(embedder)
    beside.write_text("VALUE = 22\n")
    as_in_a_new_process()
    with pytest.raises(AssertionError, match="it was not kept"):
        Embedder.from_run(run, config=file)


def test_the_fingerprint_tells_networks_apart(run, embedder, tmp_path):
    untrained.make_run(tmp_path / "copy")
    untrained.make_run(tmp_path / "seed", seed=1)
    untrained.make_run(tmp_path / "step", step=8)
    found = [
        Embedder.from_run(tmp_path / name).fingerprint
        for name in ("copy", "seed", "step")
    ]
    found.append(Embedder.from_run(run[0], kind="v1").fingerprint)
    assert found[0] == embedder.fingerprint
    assert len({*found}) == 4


def test_refusals(run, embedder, files):
    with pytest.raises(ValueError, match="'thermal'; allowed are visible, infrared"):
        embedder(files[0], "thermal")
    with pytest.raises(ValueError, match="3 images and 2 modalities"):
        embedder(files, ["visible", "infrared"])
    with pytest.raises(ValueError, match="'v9'; this run has fused, v1"):
        Embedder.from_run(run[0], kind="v9")
    with pytest.raises(FileNotFoundError, match="steps there: .7."):
        Embedder.from_run(run[0], step=9)
    with pytest.raises(FileNotFoundError, match="--workdir of a run"):
        Embedder.from_run(run[0] / "none")


def test_a_network_without_direction_is_refused(files):
    broken = crops.embedder()
    broken.network = lambda pixels, modality: np.full((len(pixels), crops.DIM), np.nan)
    with pytest.raises(ValueError, match="vectors without a direction"):
        broken(files, "visible")


@pytest.mark.slow
def test_neither_tensorflow_nor_clu_is_imported(run, embedder, files):
    code = (
        "import sys; from jreid.search import Embedder\n"
        "Embedder.from_run(sys.argv[1])(sys.argv[2:], 'visible')\n"
        "print(*{'tensorflow', 'clu', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(run[0]), *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
