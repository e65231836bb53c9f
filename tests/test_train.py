"""The whole program on a tiny data set: report, resume, refusal, interruption."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from PIL import Image

from jreid import evaluate, train
from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.evaluation.files.features_file import score_file
from jreid.evaluation.files.results_file import read_results
from jreid.run.build import build_run as train_build
from jreid.run.reporter import Reporter
from jreid.training.scalars import DivergedError

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("systems_built_once")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory, systems_built_once) -> pathlib.Path:
    """The work directory of a run that was never interrupted."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    assert train.train(tiny.tiny_config(tree), workdir) == 0
    return workdir


def test_a_run_reports_every_term_and_writes_tables_and_pictures(finished):
    lines = tiny.metrics(finished)
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
    assert features["fused"].shape == (2 * 6 * 2, 16)
    np.testing.assert_allclose(np.linalg.norm(features["fused"], axis=1), 1, rtol=1e-5)
    for name in ("cmc.png", "ranks.png"):
        with Image.open(finished / name) as picture:
            picture.verify()
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "Rank lists" in page and "Not all is there" not in page
    with open(finished / "ranks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    first = features["paths"][features["cameras"] == 3][0]
    of_first = [row for row in rows if row["query"] == first]
    # camera 2 stands in the same room as camera 3: its images do not exist there
    assert [row["rank"] for row in of_first] == ["1", "2", "3", "4", "5", "6"]
    for row in of_first:
        one, other = (
            features["fused"][features["paths"] == row[name]][0]
            for name in ("query", "file")
        )
        assert float(row["distance"]) == pytest.approx(
            ((one - other) ** 2).sum(), abs=1e-5
        )
        assert row["right"] == ("right" if row["id"] == row["query_id"] else "wrong")


def test_an_interrupted_run_ends_bit_identical(tree, tmp_path, finished):
    config = tiny.tiny_config(tree)
    config.steps = 3
    assert train.train(config, tmp_path) == 0
    config.steps = 0
    assert train.train(config, tmp_path) == 0
    tiny.assert_same_state(tmp_path, finished)
    assert [line["step"] for line in tiny.metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
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
        assert train.train(tiny.tiny_config(tree), tmp_path) == 143
    assert (tmp_path / "checkpoints" / "3").exists()
    assert not (tmp_path / "results.json").exists()
    assert train.train(tiny.tiny_config(tree), tmp_path) == 0
    tiny.assert_same_state(tmp_path, finished)


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
    values = json.dumps(to_json(tiny.tiny_config(tree)))
    script.write_text(
        "import json\nfrom jreid.config_json import from_json\n"
        f"def get_config():\n    return from_json(json.loads({values!r}))\n"
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
    tiny.assert_same_state(workdir, finished)


@pytest.mark.slow
@pytest.mark.long
def test_one_compilation_serves_the_whole_run(tree, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        train, "build_run", lambda *a: made.append(train_build(*a)) or made[-1]
    )
    config = tiny.tiny_config(tree)
    config.data.train_on_val, config.evaluation.every_epochs = False, 2
    config.steps = 4
    assert train.train(config, tmp_path) == 0
    assert made[0].system.step._cache_size() == 1
    assert "validation/R-1" in tiny.metrics(tmp_path)[3]
    assert "validation/R-1" not in tiny.metrics(tmp_path)[2]


def test_another_config_is_refused_by_field(tree, finished):
    config = tiny.tiny_config(tree)
    config.optimizer.lr = 0.02
    with pytest.raises(ValueError, match=r"config.optimizer.lr: 0.02 here, 0.01 in"):
        train.train(config, finished)


@pytest.mark.slow
@pytest.mark.long
def test_a_refused_start_leaves_the_config_free_to_change(tree, tmp_path):
    config = tiny.tiny_config(tree)
    config.sampling.identities = 8
    with pytest.raises(ValueError, match="--config.sampling.identities=5"):
        train.train(config, tmp_path)
    config.sampling.identities = 5
    config.steps = 1
    assert train.train(config, tmp_path) == 0


@pytest.mark.slow
def test_other_training_images_are_refused(tree, tmp_path):
    moved, run = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(tree, moved)
    config = tiny.tiny_config(moved)
    config.steps = 2
    assert train.train(config, run) == 0
    config.steps = 0
    (moved / "cam1" / "0001" / "0002.jpg").unlink()
    with pytest.raises(ValueError, match="names other training images"):
        train.train(config, run)


@pytest.mark.slow
def test_a_set_without_indoor_cameras_is_scored_in_the_other_mode(tree, tmp_path):
    outdoor = tmp_path / "outdoor"
    shutil.copytree(tree, outdoor)
    for camera in (1, 2):
        shutil.rmtree(outdoor / f"cam{camera}")
    config = tiny.tiny_config(outdoor)
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
        train.train(tiny.tiny_config(unmatched), tmp_path / "run")


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


@pytest.mark.long
def test_regdb_is_trained_and_scored_in_both_directions(tree, tmp_path):
    config = tiny.tiny_config(make_regdb(tmp_path / "RegDB"), "regdb")
    config.data.split = 3
    config.steps = 1
    assert train.train(config, tmp_path / "run") == 0
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    rows = {(s["setting"], s["feature"], s["reranked"]) for s in scores}
    assert len(rows) == 2 * 3 * 2
    assert {s["counted"] for s in scores} == {4}


@pytest.mark.long
def test_divergence_names_step_and_term(tree, tmp_path):
    config = tiny.tiny_config(tree)
    config.optimizer.lr = 1e30
    with pytest.raises(DivergedError, match=r"loss/\w+ is (nan|inf) at step [2-6]"):
        train.train(config, tmp_path)


@pytest.mark.slow
def test_a_finished_run_is_scored_the_same_by_evaluate(finished, capsys):
    before = json.loads((finished / "results.json").read_text())
    assert evaluate.main(["--workdir", str(finished)]) == 0
    assert json.loads((finished / "results.json").read_text()) == before
    assert "all-search single-shot" in capsys.readouterr().out


def test_its_features_file_gives_the_scores_of_the_run(finished):
    _, scores = read_results(finished / "results.json")
    assert score_file(finished / "features.npz", "sysu", trials=2) == scores


@pytest.mark.slow
def test_scores_of_other_options_go_into_a_folder_of_their_own(
    finished, tmp_path, capsys
):
    before = (finished / "results.json").read_bytes()
    options = ("--no-rerank", "--trials", "1", "--out", str(tmp_path / "own"))
    assert evaluate.main(["--workdir", str(finished), *options]) == 0
    assert (finished / "results.json").read_bytes() == before
    about, scores = read_results(tmp_path / "own" / "results.json")
    assert (about["step"], about["feature"], about["flip"]) == (6, "embeddings", False)
    stored = from_json(json.loads((finished / "config.json").read_text()))
    assert about["config_hash"] == config_hash(stored)
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
        (["--workdir", "FINISHED", "--trials", "0"], "trials is 0"),
        (["--workdir", "FINISHED", "--split", "2"], "--split does not apply to"),
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
        (["--config=sysu"], "curl -LO https://download.pytorch.org/models/"),
        (["--config=sysu", "--config.pretrained="], "root is empty"),
        (["--config=sysu:ours9"], "there is no system 'ours9'"),
        (["--config=configs/demo.py", "--config.optimizer.larning=1"], "larning"),
        (["--config=demo", "--config.optimizer.lr=fast"], "fast"),
        (["--config=demo", "--config.optimizer.lr=-1."], "config.optimizer.lr is -1.0"),
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


@pytest.mark.long
def test_more_epochs_continue_a_finished_run_where_the_schedule_allows(tree, tmp_path):
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    config = tiny.tiny_config(tree)
    assert train.train(config, whole) == 0
    config.schedule.epochs, config.schedule.drops = 2, ((1, 0.1), (2, 0.01))
    assert train.train(config, extended) == 0
    config.schedule.epochs = 3
    assert train.train(config, extended) == 0
    tiny.assert_same_state(whole, extended)
    config.schedule.epochs = 2
    with pytest.raises(ValueError, match="not with fewer"):
        train.train(config, extended)


@pytest.mark.slow
@pytest.mark.long
def test_more_epochs_of_a_cosine_are_refused_with_the_reason(tree, tmp_path):
    config = tiny.tiny_config(tree)
    config.schedule = load("demo").schedule
    config.schedule.epochs, config.steps = 3, 1
    assert train.train(config, tmp_path) == 0
    config.schedule.epochs = 4
    with pytest.raises(ValueError, match="a Cosine schedule spreads over all"):
        train.train(config, tmp_path)


@pytest.mark.long
def test_a_run_starts_from_the_weights_of_another(tree, tmp_path, finished, capsys):
    config = tiny.tiny_config(tree)
    config.data.train_on_val = False  # three identities instead of five
    config.pretrained, config.steps = str(finished), 1
    config.optimizer.lr = 0.0
    assert train.train(config, tmp_path) == 0
    before, after = tiny.final_state(finished), tiny.final_state(tmp_path)
    for name, array in before.items():
        if name.startswith("params/") and "classifier" not in name:
            np.testing.assert_array_equal(array, after[name], err_msg=name)
    shape = after["params/branches/v1/classifier/kernel"].shape
    assert shape == (8, 3)  # and there it was five
    said = capsys.readouterr().err
    assert "new: bottleneck, branches/v1/classifier, branches/v2/classifier" in said
