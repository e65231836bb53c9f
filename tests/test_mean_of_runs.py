"""RegDB's splits: which runs make a mean, what is reused, and the launcher."""

import copy
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from configs import regdb
from jreid import evaluate, system
from jreid.config import Config, as_dict, config_from_dict
from jreid.data.datasets import drop_unpaired
from jreid.evaluation.files.score_files import write_scores
from jreid.evaluation.protocols import METRICS
from jreid.evaluation.table import read_results
from jreid.run import results, splits
from jreid.run import split_training as launch
from jreid.run.about import about_run
from jreid.run.split_training import Child
from jreid.run.splits import SplitRun

ROOT = pathlib.Path(__file__).parent.parent
LAST_STEP = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    """Five identities, two images in each modality; splits 1 to 3 test two of them."""
    root = tmp_path_factory.mktemp("RegDB")
    rng = np.random.default_rng(0)
    (root / "idx").mkdir()
    for name in ("Visible", "Thermal"):
        for identity in range(5):
            (root / name / str(identity)).mkdir(parents=True)
            for number in (1, 2):
                pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / f"{name}/{identity}/{number}.bmp")
        for trial in (1, 2, 3):
            test = [trial - 1, trial]
            parts = {"train": [i for i in range(5) if i not in test], "test": test}
            for part, identities in parts.items():
                lines = [
                    f"{name}/{identity}/{number}.bmp {label}\n"
                    for label, identity in enumerate(identities)
                    for number in (1, 2)
                ]
                file = root / "idx" / f"{part}_{name.lower()}_{trial}.txt"
                file.write_text("".join(lines))
    return root


def tiny_config(tree: pathlib.Path, trial: int = 0) -> Config:
    config = regdb.get_config("base")
    config.name = "regdb"
    config.model.depth, config.model.width, config.model.pretrained = 18, 1 / 16, ""
    config.model.non_local_after = ()
    data = config.data
    data.root, data.height, data.width, data.padding = str(tree), 32, 16, 2
    data.identities, data.images_per_identity, data.workers = 3, 2, 1
    data.trial = trial
    config.optim.epochs, config.optim.steps_per_epoch = 1, LAST_STEP
    config.log.every_steps, config.log.tensorboard = 1, False
    return config


def finish(run: SplitRun, step: int = LAST_STEP) -> SplitRun:
    """Leaves what a training leaves behind, of random features."""
    images = system.read_dataset(run.config)
    paired = drop_unpaired(images.train)
    (run.folder / "checkpoints" / str(step)).mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps(as_dict(run.config)))
    training_set = {
        "identities": [0, 1, 2],
        "images": len(paired),
        "crc32_of_names": system.digest(paired),
        "steps_per_epoch": run.config.optim.steps_per_epoch,
    }
    (run.folder / "training_set.json").write_text(json.dumps(training_set))
    rng = np.random.default_rng(run.trial)
    features = {
        name: rng.normal(size=(len(images.test), 8)).astype(np.float32)
        for name in ("fused", "v1")
    }
    scores = results.score(run.config, features, images.test, reranking=rerank(run))
    write_scores(run.folder, scores, about_run(run.config, step))
    return run


def rerank(run: SplitRun) -> bool:
    return run.config.evaluation.rerank


@pytest.fixture(scope="module")
def template(tree, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs")
    for run in launch.split_runs(tiny_config(tree), folder / "regdb", [1, 2, 3]):
        finish(run)
    return folder


@pytest.fixture
def finished(tree, template, tmp_path) -> list[SplitRun]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return launch.split_runs(tiny_config(tree), tmp_path / "regdb", [1, 2, 3])


def change_config(run: SplitRun, change) -> None:
    config = copy.deepcopy(run.config)
    change(config)
    (run.folder / "config.json").write_text(json.dumps(as_dict(config)))


def score(capsys, *arguments):
    code = evaluate.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def no_recomputing(monkeypatch):
    from jreid.run import trained

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(trained, "evaluate_run", refuse)


def test_the_mean_of_the_splits(finished, tmp_path, capsys, no_recomputing):
    code, out, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 0, err
    for run in finished:
        assert f"split {run.trial}: {run.folder}" in out
    assert "mean of 3 splits (1, 2, 3), not the published protocol" in out
    assert "4, 5, 6, 7, 8, 9, 10 missing" in out
    about, means = read_results(tmp_path / "regdb-mean" / "results.json")
    assert about["runs"] == {str(run.trial): str(run.folder) for run in finished}
    of_runs = [read_results(run.folder / "results.json")[1] for run in finished]
    assert len(means) == len(of_runs[0]) == 8
    for mean, *rows in zip(means, *of_runs, strict=True):
        assert mean.splits == (1, 2, 3)
        for name in METRICS:
            values = [row.mean[name] for row in rows]
            np.testing.assert_allclose(mean.mean[name], np.mean(values), atol=1e-12)
            np.testing.assert_allclose(mean.std[name], np.std(values), atol=1e-12)
    # The folder of the mean is none of a run: the same pattern still works.
    assert score(capsys, "--workdir", f"{tmp_path}/regdb-*")[0] == 0
    assert score(capsys, "--compare", tmp_path / "regdb-mean", "paper")[0] == 0


def test_all_ten_are_the_published_protocol(tree):
    runs = launch.split_runs(tiny_config(tree), pathlib.Path("x"), splits.SPLITS)
    assert splits.mean_title([run.trial for run in runs]) == "mean of all ten splits"


def test_a_mean_says_where_its_images_are_from(tree):
    config = tiny_config(tree)
    config.data.root, config.data.tfds = "", "built"
    runs = launch.split_runs(config, tree / "regdb", [1, 2])
    about = splits._about_mean(runs, step=2)
    assert (about["root"], about["trial"], about["step"]) == ("built", None, 2)


def test_patterns_sort_by_number(tmp_path):
    for name in ("a-10", "a-2", "a-mean"):
        (tmp_path / name).mkdir()
    for name in ("a-10", "a-2"):
        (tmp_path / name / "config.json").write_text("{}")
    found = splits.find_runs([f"{tmp_path}/a-*", f"{tmp_path}/a-2"])
    assert [path.name for path in found] == ["a-2", "a-10"]


def set_field(section, name, value):
    return lambda config: setattr(getattr(config, section), name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_field("data", "trial", 1),
            "regdb-1 and .*regdb-2 are both runs of split 1",
        ),
        (
            set_field("data", "dataset", "sysu_mm01"),
            "regdb-2 is a run on 'sysu_mm01': several runs are scored together",
        ),
        (
            set_field("optim", "lr", 0.5),
            "regdb-1 and .*regdb-2 differ in more .*optim.lr is 0.1 and 0.5",
        ),
        (set_field("evaluation", "flip", True), "evaluation.flip is false and true"),
        (set_field("optim", "epochs", 3), "optim.epochs is 1 and 3"),
    ],
)
def test_runs_that_make_no_mean(finished, tmp_path, capsys, change, message):
    change_config(finished[1], change)
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_seed_and_name_may_differ(finished, tmp_path, capsys):
    def rename(config):
        config.name, config.seed = "other", 3
        config.evaluation = finished[0].config.evaluation

    change_config(finished[1], rename)
    folders = [run.folder for run in finished]
    runs = [
        SplitRun(f, config_from_dict(json.loads((f / "config.json").read_text())))
        for f in folders
    ]
    assert [run.trial for run in splits.check_splits(runs[::-1])] == [1, 2, 3]


def test_an_unfinished_run_is_named(finished, tmp_path, capsys):
    last = finished[2].folder / "checkpoints"
    (last / str(LAST_STEP)).rename(last / "1")
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 2
    assert "regdb-3 is at step 1 of 2: finish the training" in err


@pytest.mark.parametrize("several", [False, True])
def test_a_run_is_not_scored_on_another_split(finished, tmp_path, capsys, several):
    folders = [run.folder for run in finished] if several else [finished[0].folder]
    code, _, err = score(capsys, "--workdir", *folders, "--trial", 2)
    assert code == 2
    assert "regdb-1 was trained for split 1 of RegDB" in err


def test_options_of_other_protocols_are_refused(finished, capsys):
    for option in (("--trials", 3), ("--draw", "official"), ("--legacy",)):
        code, _, err = score(capsys, "--workdir", finished[0].folder, *option)
        assert code == 2
        assert f"{option[0]} does not apply to {finished[0].folder}" in err


def test_a_config_that_names_another_split_is_noticed(finished, capsys):
    change_config(finished[0], set_field("data", "trial", 2))
    code, _, err = score(capsys, "--workdir", finished[0].folder)
    assert code == 2
    assert "was not trained on the training images of RegDB's split 2" in err


@pytest.mark.parametrize(
    ("arguments", "again"),
    [((), [2]), (("--no-rerank",), [1, 2, 3]), (("--flip",), [1, 2, 3])],
)
def test_scores_are_reused_only_if_they_are_the_same(
    finished, tmp_path, capsys, monkeypatch, arguments, again
):
    from jreid.run import trained

    (finished[1].folder / "results.json").write_text("{}")  # damaged
    computed = []

    def evaluate_run(config, folder, step, out):
        computed.append(config.data.trial)
        run = SplitRun(tmp_path / f"again-{config.data.trial}", config)
        finish(run)
        about, scores = read_results(run.folder / "results.json")
        return scores, about

    monkeypatch.setattr(trained, "evaluate_run", evaluate_run)
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*", *arguments)
    assert code == 0, err
    assert computed == again


def test_the_launcher_skips_continues_and_stops(finished, tmp_path, monkeypatch):
    runs = finished
    for path in (runs[1].folder / "results.json", runs[2].folder / "config.json"):
        path.unlink()
    (runs[2].folder / "results.json").unlink()
    commands, codes = [], [143]

    def run_child(self, command):
        commands.append(command)
        code = codes.pop(0)
        if code == 0:
            results_of(command)
        return code

    def results_of(command):
        run = next(run for run in runs if f"--workdir={run.folder}" in command)
        shutil.rmtree(run.folder)
        finish(run)

    monkeypatch.setattr(Child, "run", run_child)
    train = ("--config=configs/regdb.py:all",)
    mean = tmp_path / "mean"
    assert launch.train_splits(runs, train, mean) == 143
    assert commands[0][1:] == (
        *("-m", "jreid.train", *train),
        *("--config.data.trial=2", f"--workdir={runs[1].folder}"),
    )
    codes[:] = [0, 2]
    with pytest.raises(
        ValueError, match="split 3 in .*regdb-3 failed with exit code 2"
    ):
        launch.train_splits(runs, train, mean)
    codes[:] = [0]
    assert launch.train_splits(runs, train, mean) == 0
    splits_trained = [command[-2][-1] for command in commands]
    assert splits_trained == ["2", "2", "3", "3"]
    assert (mean / "results.json").exists()
    assert launch.train_splits(runs, train, mean) == 0
    assert len(commands) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_child_once(tmp_path, number):
    """The child takes its time to save and ends with the code of the signal."""
    code = (
        "import pathlib, signal, sys, time\n"
        "seen = []\n"
        "for n in (signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(n, lambda n, frame: seen.append(n))\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        f"pathlib.Path({str(tmp_path / 'saved')!r}).write_text(str(seen))\n"
        "sys.exit(128 + seen[0])"
    )

    def send():
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    with Child() as child:
        assert child.run([sys.executable, "-c", code]) == 128 + number
        assert child.run([sys.executable, "-c", "0"]) == 128 + number, "no more starts"
    sender.join()
    assert (tmp_path / "saved").read_text() == str([int(number)])


def test_a_killed_child_counts_as_failed():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with Child() as child:
        assert child.run([sys.executable, "-c", code]) == 137


def run_program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jreid.train", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_ten_splits_in_one_command(tree, tmp_path):
    """Two of them: one is there already, the other is trained; then their mean."""
    values = json.dumps(as_dict(tiny_config(tree)))
    script = tmp_path / "config.py"
    script.write_text(
        "import json\nfrom jreid.config import config_from_dict\n"
        f"def get_config():\n    return config_from_dict(json.loads({values!r}))\n"
    )
    runs = launch.split_runs(tiny_config(tree), tmp_path / "regdb", [1, 3])
    finish(runs[0])
    command = (f"--config={script}", f"--workdir={tmp_path / 'regdb'}")
    done = run_program(*command, "--splits", "1,3")
    assert done.returncode == 0, done.stderr
    assert f"split 1: finished, in {tmp_path / 'regdb-1'}" in done.stdout
    assert f"split 3: training in {tmp_path / 'regdb-3'}" in done.stdout
    assert "mean of 2 splits (1, 3)" in done.stdout
    assert (tmp_path / "regdb-mean" / "results.json").exists()
    assert runs[1].stored_scores() is not None
