"""The whole program on a tiny data set: report, resume, refusal, interruption."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from configs import sysu
from jreid import evaluate, system, train
from jreid.config import Config, as_dict, config_from_dict, config_hash
from jreid.evaluation.files.features_file import score_file
from jreid.evaluation.table import read_results
from jreid.run import trained
from jreid.run.checkpoint import Checkpoints
from jreid.training.reporter import Reporter
from jreid.training.scalars import DivergedError

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    """Seven identities, two images in each of six cameras, in SYSU-MM01's layout."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    (root / "exp").mkdir()
    for name, ids in (("train", "1,2,3"), ("val", "4,5"), ("test", "6,7")):
        (root / "exp" / f"{name}_id.txt").write_text(ids)
    for camera in range(1, 7):
        for identity in range(1, 8):
            folder = root / f"cam{camera}" / f"{identity:04d}"
            folder.mkdir(parents=True)
            for number in (1, 2):
                pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04d}.jpg")
    return root


def tiny_config(tree: pathlib.Path) -> Config:
    config = sysu.get_config()
    config.model.depth, config.model.width, config.model.pretrained = 18, 1 / 16, ""
    config.model.non_local_after = ("2.1",)
    config.model.bottleneck_hidden, config.model.bottleneck_features = (8,), 8
    data = config.data
    data.root, data.height, data.width, data.padding = str(tree), 32, 16, 2
    data.identities, data.images_per_identity, data.workers = 3, 2, 1
    config.optim.epochs, config.optim.steps_per_epoch = 3, 2
    config.optim.warmup_epochs, config.optim.milestones = 1, (1, 2)
    config.optim.lr = 0.01
    config.evaluation.trials = 2
    config.log.every_steps, config.log.tensorboard = 1, False
    return config


def final_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint, as stored."""
    state = {}
    config = config_from_dict(json.loads((workdir / "config.json").read_text()))
    with Checkpoints(workdir / "checkpoints", read_only=True) as saved:
        like = abstract_state(config, len(trained.read_identities(workdir)))
        restored = saved.restore(like)
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored):
        state[jax.tree_util.keystr(path)] = np.asarray(leaf)
    return state


def abstract_state(config, classes):
    from functools import partial

    from jreid.training.learner import data_mesh, init_state

    make_network = partial(system.make_network, config, classes)
    tx = system.build_tx(config, system.build_schedule(config, 2))
    return init_state(make_network, tx, config.seed, data_mesh())


def assert_same_state(one: pathlib.Path, other: pathlib.Path) -> None:
    first, second = final_state(one), final_state(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory) -> pathlib.Path:
    """The work directory of a run that was never interrupted."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    assert train.train(tiny_config(tree), workdir) == 0
    return workdir


def metrics(workdir: pathlib.Path) -> list[dict]:
    return [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_reports_every_term_and_writes_tables_and_pictures(finished):
    lines = metrics(finished)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    terms = {name for name in lines[0] if name.startswith("loss/")}
    assert terms == {
        *("loss/identity_v1", "loss/identity_v2", "loss/identity_z1"),
        *("loss/identity_z2", "loss/vsd_1", "loss/vsd_2", "loss/wrt", "loss/hc_tri"),
    }
    assert {"lr", "grad_norm", "images_per_second", "cosine_v1_v2"} <= lines[0].keys()
    np.testing.assert_allclose(
        [line["lr"] for line in lines],
        [0.01, 0.01, 0.001, 0.001, 1e-4, 1e-4],
        rtol=1e-6,
    )
    results = json.loads((finished / "results.json").read_text())
    rows = {(s["setting"], s["feature"], s["reranked"]) for s in results["scores"]}
    assert len(rows) == 4 * 3 * 2
    assert results["step"] == 6
    features = np.load(finished / "features.npz")
    assert features["fused"].shape == (2 * 6 * 2, 64)
    np.testing.assert_allclose(np.linalg.norm(features["fused"], axis=1), 1, rtol=1e-5)
    for name in ("cmc.png", "ranks.png"):
        with Image.open(finished / name) as picture:
            picture.verify()


def test_an_interrupted_run_ends_bit_identical(tree, tmp_path, finished):
    config = tiny_config(tree)
    config.steps = 3
    assert train.train(config, tmp_path) == 0
    config.steps = 0
    assert train.train(config, tmp_path) == 0
    assert_same_state(tmp_path, finished)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_sigterm_saves_and_the_same_command_continues(
    tree, tmp_path, finished, monkeypatch
):
    report = Reporter.scalars

    def killed_after_2(self, step, values):
        report(self, step, values)
        if step == 2:  # noticed in step 3, whose checkpoint is not due
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "scalars", killed_after_2)
        assert train.train(tiny_config(tree), tmp_path) == 143
    assert (tmp_path / "checkpoints" / "3").exists()
    assert not (tmp_path / "results.json").exists()
    assert train.train(tiny_config(tree), tmp_path) == 0
    assert_same_state(tmp_path, finished)


def run_program(*arguments: str, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "jreid.train", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
def test_a_killed_run_continues_bit_identical(tree, tmp_path, finished):
    script = tmp_path / "config.py"
    values = json.dumps(as_dict(tiny_config(tree)))
    script.write_text(
        "import json\nfrom jreid.config import config_from_dict\n"
        f"def get_config():\n    return config_from_dict(json.loads({values!r}))\n"
    )
    workdir = tmp_path / "run"
    command = (f"--config={script}", f"--workdir={workdir}")
    process = run_program(*command)
    deadline = time.monotonic() + 300
    while not (workdir / "checkpoints" / "2").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    process = run_program(*command)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "all-search single-shot" in out
    assert_same_state(workdir, finished)


def test_one_compilation_serves_the_whole_run(tree, tmp_path, monkeypatch):
    steps = []
    make = train.make_train_step
    monkeypatch.setattr(
        train, "make_train_step", lambda *a: steps.append(make(*a)) or steps[-1]
    )
    config = tiny_config(tree)
    config.data.train_on_val, config.evaluation.every_epochs = False, 2
    config.steps = 4
    assert train.train(config, tmp_path) == 0
    assert steps[0]._cache_size() == 1
    assert "validation/R-1" in metrics(tmp_path)[3]
    assert "validation/R-1" not in metrics(tmp_path)[2]


def test_another_config_is_refused_by_field(tree, finished):
    config = tiny_config(tree)
    config.optim.lr = 0.02
    with pytest.raises(ValueError, match=r"optim.lr: 0.02 here, 0.01 in"):
        train.train(config, finished)


def test_a_refused_start_leaves_the_config_free_to_change(tree, tmp_path):
    config = tiny_config(tree)
    config.data.identities = 8
    with pytest.raises(ValueError, match="--config.data.identities=5"):
        train.train(config, tmp_path)
    config.data.identities = 5
    config.steps = 1
    assert train.train(config, tmp_path) == 0


def test_other_training_images_are_refused(tree, tmp_path, finished):
    moved = tmp_path / "moved"
    shutil.copytree(tree, moved)
    config = tiny_config(moved)
    assert train.train(config, finished) == 0  # only scored again
    (moved / "cam1" / "0001" / "0002.jpg").unlink()
    with pytest.raises(ValueError, match="names other training images"):
        train.train(config, finished)


def test_a_set_without_indoor_cameras_is_scored_in_the_other_mode(tree, tmp_path):
    outdoor = tmp_path / "outdoor"
    shutil.copytree(tree, outdoor)
    for camera in (1, 2):
        shutil.rmtree(outdoor / f"cam{camera}")
    config = tiny_config(outdoor)
    config.steps = 1
    assert train.train(config, tmp_path / "run") == 0
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    assert {s["setting"].split()[0] for s in scores} == {"all-search"}


def test_test_images_without_a_match_are_refused_before_training(tree, tmp_path):
    unmatched = tmp_path / "unmatched"
    shutil.copytree(tree, unmatched)
    for camera, identity in ((3, 6), (6, 6), (1, 7), (2, 7), (4, 7), (5, 7)):
        shutil.rmtree(unmatched / f"cam{camera}" / f"{identity:04d}")
    with pytest.raises(ValueError, match="the test images cannot be scored"):
        train.train(tiny_config(unmatched), tmp_path / "run")


def make_regdb(root: pathlib.Path) -> pathlib.Path:
    """Three training and two test identities, two images in each modality."""
    rng = np.random.default_rng(0)
    (root / "idx").mkdir(parents=True)
    for part, identities in (("train", (10, 11, 12)), ("test", (20, 21))):
        for name in ("Visible", "Thermal"):
            lines = []
            for label, identity in enumerate(identities):
                (root / name / str(identity)).mkdir(parents=True)
                for number in (1, 2):
                    path = f"{name}/{identity}/{number}.bmp"
                    pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(root / path)
                    lines.append(f"{path} {label}\n")
            (root / "idx" / f"{part}_{name.lower()}_3.txt").write_text("".join(lines))
    return root


def test_regdb_is_trained_and_scored_in_both_directions(tree, tmp_path):
    config = tiny_config(make_regdb(tmp_path / "RegDB"))
    config.data.dataset, config.data.trial = "regdb", 3
    config.steps = 1
    assert train.train(config, tmp_path / "run") == 0
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    rows = {(s["setting"], s["feature"], s["reranked"]) for s in scores}
    assert len(rows) == 2 * 3 * 2
    assert {s["counted"] for s in scores} == {4}


def test_divergence_names_step_and_term(tree, tmp_path):
    config = tiny_config(tree)
    config.optim.lr = 1e30
    with pytest.raises(DivergedError, match=r"loss/\w+ is (nan|inf) at step [2-6]"):
        train.train(config, tmp_path)


def test_a_finished_run_is_scored_the_same_by_evaluate(finished, capsys):
    before = json.loads((finished / "results.json").read_text())
    assert evaluate.main(["--workdir", str(finished)]) == 0
    assert json.loads((finished / "results.json").read_text()) == before
    assert "all-search single-shot" in capsys.readouterr().out


def test_its_features_file_gives_the_scores_of_the_run(finished):
    _, scores = read_results(finished / "results.json")
    assert score_file(finished / "features.npz", "sysu", trials=2) == scores


def test_scores_of_other_options_go_into_a_folder_of_their_own(
    finished, tmp_path, capsys
):
    before = (finished / "results.json").read_bytes()
    options = ("--no-rerank", "--trials", "1", "--out", str(tmp_path / "own"))
    assert evaluate.main(["--workdir", str(finished), *options]) == 0
    assert (finished / "results.json").read_bytes() == before
    about, scores = read_results(tmp_path / "own" / "results.json")
    assert (about["step"], about["feature"], about["flip"]) == (6, "embeddings", False)
    assert about["config_hash"] == config_hash(
        config_from_dict(json.loads((finished / "config.json").read_text()))
    )
    assert {(s.trials, s.reranked, s.draw) for s in scores} == {(1, False, "agw")}
    assert "not flipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir", "nowhere"], "no config.json in"),
        (["--workdir", "FINISHED", "--step", "5"], "no checkpoint of step 5"),
        (
            ["--workdir", "FINISHED", "--root", "nowhere"],
            "the folder nowhere is missing",
        ),
        (["--workdir", "FINISHED", "--trials", "0"], "evaluation.trials is 0"),
        (["--workdir", "FINISHED", "--trial", "2"], "--trial does not apply to"),
        (["--workdir", "FINISHED", "--draw", "official"], "of official single-shot"),
        (["--workdir", "FINISHED", "--permutations", "x"], "only the official draw"),
        (["--workdir", "FINISHED", "--protocol", "sysu"], "goes with --features"),
    ],
)
def test_evaluate_refuses_in_one_line(finished, capsys, arguments, message):
    arguments = [str(finished) if a == "FINISHED" else a for a in arguments]
    assert evaluate.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config"),
        (["--config=configs/sysu.py"], "curl -LO https://download.pytorch.org/models/"),
        (
            ["--config=configs/sysu.py", "--config.model.pretrained="],
            "data.root is empty",
        ),
        (["--config=configs/sysu.py:ours9"], "no variant 'ours9'"),
        (["--config=configs/demo.py", "--config.optim.larning=1"], "larning"),
        (["--config=configs/demo.py", "--config.optim.lr=fast"], "fast"),
        (["--config=configs/demo.py", "--config.optim.lr=-1."], "optim.lr is -1.0"),
    ],
)
def test_train_refuses_clearly(tmp_path, arguments, message):
    process = run_program(*arguments, f"--workdir={tmp_path / 'run'}")
    out, err = process.communicate()
    assert process.returncode == 2
    assert message in out + err
    assert "Traceback" not in err


@pytest.mark.slow
def test_help_loads_no_tensorflow():
    code = (
        "import sys, jreid.train, jreid.evaluate\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
