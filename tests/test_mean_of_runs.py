"""Means of runs, over RegDB's splits and over seeds: which, and what is reused."""

import copy
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import pytest
import regdb_runs
from regdb_runs import LAST_STEP, finish, tiny_config

from jreid import ending, evaluate
from jreid.config_files import load
from jreid.config_json import to_json
from jreid.data.sysu_mm01 import SysuMM01
from jreid.evaluate_options import Options
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.protocols.regdb import SPLITS, mean_title
from jreid.evaluation.score import METRICS
from jreid.run import trained
from jreid.run.evaluate_runs import scored_run
from jreid.run.finished import scores_of_finished
from jreid.run.mean_of_runs import check_finished, score_runs
from jreid.run.run_folders import RunFolder, find_runs
from jreid.run.split_training import split_runs
from jreid.training.phases import Phase


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return regdb_runs.make_tree(tmp_path_factory.mktemp("RegDB"))


@pytest.fixture(scope="module")
def template(tree, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs")
    for run in split_runs(tiny_config(tree), folder / "regdb", [1, 2, 3]):
        finish(run)
    return folder


@pytest.fixture
def finished(tree, template, tmp_path) -> list[RunFolder]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return split_runs(tiny_config(tree), tmp_path / "regdb", [1, 2, 3])


def test_a_run_of_phases_ends_where_its_last_phase_does(tmp_path):
    """An epoch of each phase may have other numbers of steps."""
    config = load("regdb:base")
    config.phases = (Phase(3), Phase(5))
    config.schedule.epochs = 8
    training_set = {
        "identities": [0],
        "images": 1,
        "crc32_of_names": 0,
        "steps_per_epoch": 10,
        "last_step": 50,
    }
    (tmp_path / "training_set.json").write_text(json.dumps(training_set))
    run = RunFolder(tmp_path, config)
    assert run.last_step() == 50
    (tmp_path / "checkpoints" / "49").mkdir(parents=True)
    with pytest.raises(ValueError, match="is at step 49 of 50"):
        check_finished([run])
    (tmp_path / "checkpoints" / "50").mkdir()
    check_finished([run])
    config.phases, config.schedule.epochs = (), 6  # more than it began with
    assert run.last_step() == 60


def change_config(run: RunFolder, change) -> None:
    config = copy.deepcopy(run.config)
    change(config)
    (run.folder / "config.json").write_text(json.dumps(to_json(config)))


def score(capsys, *arguments):
    code = evaluate.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def no_recomputing(monkeypatch):
    from jreid.run import trained

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(trained, "evaluate_run", refuse)


@pytest.mark.slow
def test_the_mean_of_the_splits(finished, tmp_path, capsys, no_recomputing):
    code, out, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 0, err
    for run in finished:
        assert f"split {run.split}: {run.folder}" in out
    assert "mean of 3 splits (1, 2, 3), not the published protocol" in out
    assert "4, 5, 6, 7, 8, 9, 10 missing" in out
    about, means = read_results(tmp_path / "regdb-mean" / "results.json")
    assert about["runs"] == {str(run.split): str(run.folder) for run in finished}
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


def test_all_ten_are_the_published_protocol():
    assert mean_title(SPLITS) == "mean of all ten splits"


def test_a_mean_says_where_its_images_are_from(finished, tmp_path, capsys):
    arguments = ("--workdir", *(run.folder for run in finished[:2]))
    assert score(capsys, *arguments, "--out", tmp_path / "own")[0] == 0
    about, _ = read_results(tmp_path / "own" / "results.json")
    assert about["root"] == finished[0].config.data.root
    assert (about["dataset"], about["split"], about["step"]) == ("regdb", None, 2)


@pytest.fixture
def seeds(tree, tmp_path) -> list[RunFolder]:
    """Three seeds of split 1."""
    runs = []
    for seed in (0, 7, 11):
        config = tiny_config(tree, split=1)
        config.seed = seed
        runs.append(finish(RunFolder(tmp_path / f"a-seed{seed}", config)))
    return runs


def test_the_mean_over_seeds(seeds, tmp_path, capsys, no_recomputing):
    code, out, err = score(capsys, *(run.folder for run in seeds))
    assert code == 0, err
    assert f"seed 7: {seeds[1].folder}" in out
    assert "mean of 3 seeds (0, 7, 11)\n" in out
    assert "split 1" not in out.split("mean of 3 seeds")[0].split("\n")[0]
    about, means = read_results(tmp_path / "regdb-mean" / "results.json")
    assert list(about["runs"]) == ["0", "7", "11"]
    assert about["split"] == 1
    of_runs = [read_results(run.folder / "results.json")[1] for run in seeds]
    for mean, *rows in zip(means, *of_runs, strict=True):
        assert (mean.splits, mean.seeds) == ((1,), (0, 7, 11))
        values = [row.mean["mAP"] for row in rows]
        np.testing.assert_allclose(mean.mean["mAP"], np.mean(values), atol=1e-12)
        np.testing.assert_allclose(mean.std["mAP"], np.std(values), atol=1e-12)
    assert score(capsys, f"{tmp_path}/a-seed*", "--workdir", seeds[0].folder)[0] == 0


def test_a_mean_is_written_where_no_table_can_be_shown(seeds, tmp_path, monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert evaluate.main([str(run.folder) for run in seeds]) == ending.REFUSED
    assert read_results(tmp_path / "regdb-mean" / "results.json")[1]


def test_seeds_that_make_no_mean(seeds, capsys):
    change_config(seeds[1], lambda config: setattr(config, "seed", 0))
    code, _, err = score(capsys, *(run.folder for run in seeds))
    assert code == 2
    assert "a-seed0 and " in err and "are both runs of seed 0: the mean takes" in err


def test_patterns_sort_by_number(tmp_path):
    for name in ("a-10", "a-2", "a-mean"):
        (tmp_path / name).mkdir()
    for name in ("a-10", "a-2"):
        (tmp_path / name / "config.json").write_text("{}")
    found = find_runs([f"{tmp_path}/a-*", f"{tmp_path}/a-2"])
    assert [path.name for path in found] == ["a-2", "a-10"]


def set_field(path, value):
    def change(config):
        *outer, name = path.split(".")
        for part in outer:
            config = getattr(config, part)
        setattr(config, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_field("data.split", 1), "regdb-1 and .*regdb-2 are both runs of split 1"),
        (
            set_field("data", SysuMM01("synvi")),
            "data is jreid.data.regdb:RegDB and jreid.data.sysu_mm01:SysuMM01",
        ),
        (
            set_field("optimizer.lr", 0.5),
            "regdb-1 and .*regdb-2 differ in more .*optimizer.lr is 0.1 and 0.5",
        ),
        (set_field("evaluation.rerank", False), "evaluation.rerank is True and False"),
        (set_field("embedding.flip", True), "embedding.flip is False and True"),
        (set_field("schedule.epochs", 3), "schedule.epochs is 1 and 3"),
    ],
)
def test_runs_that_make_no_mean(finished, tmp_path, capsys, change, message):
    change_config(finished[1], change)
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)


@pytest.mark.slow
def test_seed_and_name_may_differ(finished, tmp_path, capsys):
    def rename(config):
        config.name, config.seed, config.loading.workers = "other", 3, 2

    run = finished[1]
    rename(run.config)
    shutil.rmtree(run.folder)
    finish(run)
    code, out, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 0, err
    assert "mean of 3 splits (1, 2, 3)" in out


def test_an_unfinished_run_is_named(finished, tmp_path, capsys):
    last = finished[2].folder / "checkpoints"
    (last / str(LAST_STEP)).rename(last / "1")
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*")
    assert code == 2
    assert "regdb-3 is at step 1 of 2: finish the training" in err


@pytest.mark.parametrize("several", [False, True])
def test_a_run_is_not_scored_on_another_split(finished, tmp_path, capsys, several):
    folders = [run.folder for run in finished] if several else [finished[0].folder]
    code, _, err = score(capsys, "--workdir", *folders, "--split", 2)
    assert code == 2
    assert "regdb-1 was trained for split 1 of RegDB" in err


def test_options_of_other_protocols_are_refused(finished, capsys):
    for option in (("--trials", 3), ("--draw", "official"), ("--legacy",)):
        code, _, err = score(capsys, "--workdir", finished[0].folder, *option)
        assert code == 2
        assert f"{option[0]} does not apply to {finished[0].folder}" in err


def test_a_config_that_names_another_split_is_noticed(finished, capsys):
    change_config(finished[0], set_field("data.split", 2))
    code, _, err = score(capsys, "--workdir", finished[0].folder)
    assert code == 2
    assert "was not trained on the training images of RegDB's split 2" in err


@pytest.mark.slow
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

    def evaluate_run(config, folder, step, out, tested_on, variant):
        computed.append(config.data.split)
        run = RunFolder(tmp_path / f"again-{config.data.split}", config)
        finish(run)
        about, scores = read_results(run.folder / "results.json")
        return scores, about

    monkeypatch.setattr(trained, "evaluate_run", evaluate_run)
    code, _, err = score(capsys, "--workdir", f"{tmp_path}/regdb-*", *arguments)
    assert code == 0, err
    assert computed == again


def test_a_run_on_another_data_set(finished, tmp_path, capsys, monkeypatch):
    """The options go to that data set, and the run's own stay what they are."""
    from jreid.run import trained

    asked = []

    def evaluate_run(config, folder, step, out, tested_on, variant):
        asked.append((config.data.key, tested_on, config.evaluation.trials))
        raise OSError("enough")

    monkeypatch.setattr(trained, "evaluate_run", evaluate_run)
    run = finished[0].folder
    other = ("--dataset", "sysu_mm01", "--root", "synvi", "--trials", 3)
    assert score(capsys, run, *other)[0] == 2
    assert asked == [("regdb", SysuMM01("synvi"), 3)]
    for arguments, message in (
        (("--dataset", "sysu_mm01"), "--dataset sysu_mm01 needs --root, its folder"),
        ((*other, "--split", 2), "--split does not apply to --dataset sysu_mm01"),
        ((*other, "--legacy"), "--legacy does not apply to "),
        (("--dataset", "regdb", "--split", 2), "was trained for split 1 of RegDB"),
        (
            (finished[1].folder, *other),
            "the other runs are of several splits: on another data set give runs of",
        ),
    ):
        code, _, err = score(capsys, run, *arguments)
        assert code == 2
        assert message in err
    assert len(asked) == 1


def test_what_a_shell_finds_beside_runs_is_passed_over(tmp_path, capsys):
    for name in ("regdb-1", "regdb-2", "regdb-mean"):
        (tmp_path / name).mkdir()
        own = "results.json" if name == "regdb-mean" else "config.json"
        (tmp_path / name / own).write_text("{}")
    names = [str(tmp_path / f"regdb-{n}") for n in (1, 2, "mean")]
    assert [path.name for path in find_runs(names)] == ["regdb-1", "regdb-2"]
    assert "regdb-mean is a mean of runs, passed over" in capsys.readouterr().err
    assert [path.name for path in find_runs(names[2:])] == ["regdb-mean"]


def test_the_options_of_a_command_line_are_in_the_config_that_scores(finished):
    own, folder = finished[0].config, finished[0].folder
    run, tested_on = scored_run(folder, Options())
    assert tested_on is None and (run.config, run.words) == (own, ())
    for options, words, change in (
        (Options(flip=True), ("flip",), {"embedding.flip": True}),
        (Options(no_flip=True), (), {}),
        (Options(no_rerank=True), ("no-rerank",), {"evaluation.rerank": False}),
        (Options(rerank=True), (), {}),
        (
            Options(feature="features"),
            ("features",),
            {"embedding.features": 1.0, "embedding.embeddings": 0.0},
        ),
    ):
        expected = copy.deepcopy(own)
        for path, value in change.items():
            set_field(path, value)(expected)
        run, _ = scored_run(folder, options)
        assert (run.words, run.config) == (words, expected)


def test_runs_are_scored_at_the_step_that_is_given(finished, tmp_path, monkeypatch):
    """Where their results are of another step, they are not those."""
    asked = []

    def evaluate_run(config, folder, step, out, tested_on, variant):
        asked.append((step, out, tested_on, variant))
        about, scores = read_results(folder / "results.json")
        return scores, about

    monkeypatch.setattr(trained, "evaluate_run", evaluate_run)
    told = []
    score_runs(finished, step=1, out=tmp_path / "mean", show=told.append)
    folders = [tmp_path / "mean" / f"split-{split}" for split in (1, 2, 3)]
    assert asked == [(1, folder, None, "step-1") for folder in folders]
    assert read_results(tmp_path / "mean" / "results.json")[0]["step"] == 1
    assert "mean of 3 splits" in told[0]


def test_a_run_that_is_to_go_on_from_a_step_is_not_finished(finished):
    config, folder = copy.deepcopy(finished[0].config), finished[0].folder
    assert scores_of_finished(config, folder) is not None
    config.checkpoint.step = 1
    results = folder / "results.json"  # it was trained from there before
    whole = json.loads(results.read_text()) | {"config": to_json(config)}
    results.write_text(json.dumps(whole))
    assert RunFolder(folder, config).stored_scores() is not None
    assert scores_of_finished(config, folder) is None
