"""The end of a run cut short by a full disk or a signal: it is ended once more."""

import copy
import csv
import dataclasses
import json
import os
import shutil
import signal
import types
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jreid import finish as end
from jreid.evaluation.files.results_file import read_results, results_json
from jreid.evaluation.score_features import score_features
from jreid.finish import finish
from jreid.run import results
from jreid.run.build import Run
from jreid.run.finished import print_finished, scores_of_finished
from jreid.stopping import Stopped
from jreid.training.state import TrainState

REPORT = ("features.npz", "cmc.png", "ranks.csv", "ranks.png", "report.html")


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A trained run's config, and its network as far as its end needs it."""
    config = tiny.tiny_config(tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny"))
    config.evaluation.rerank = False
    test = config.data.read().test
    vectors = np.random.default_rng(0).normal(size=(len(test), 4)).astype(np.float32)
    run: Any = object.__new__(Run)
    run.images = types.SimpleNamespace(test=test, test_content="")
    run.state = TrainState(jnp.int32(6), {}, {}, {}, {})
    run.embedder, run.classes = lambda *_: {"fused": vectors}, 3
    return config, run


def trained(folder):
    (folder / "checkpoints" / "6").mkdir(parents=True)
    told = {"identities": [1], "images": 9, "crc32_of_names": 0, "steps_per_epoch": 2}
    (folder / "training_set.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def whole_report(ended, tmp_path_factory):
    folder = trained(tmp_path_factory.mktemp("whole") / "run")
    finish(ended[0], folder, ended[1])
    assert {*REPORT, "results.json"} <= {*os.listdir(folder)}
    return *ended, folder


def test_what_a_run_is_finished_by_is_written_last(ended, tmp_path, monkeypatch):
    for name in ("save_cmc_plot", "save_rank_sheet"):
        monkeypatch.setattr(results, name, lambda *_, **__: None)
    monkeypatch.setattr(end, "report_page", lambda runs: f"{len(runs[0].scores)} rows")
    written, replace = [], os.replace

    def noted(source, target):
        written.append(os.path.basename(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", noted)
    finish(ended[0], trained(tmp_path), ended[1])
    assert written[0] == "results.json" and {*written[1:]} == {*REPORT}
    _, scores = read_results(tmp_path / "results.json")
    assert (tmp_path / "report.html").read_text() == f"{len(scores)} rows"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REPORT, "results.json"])
@pytest.mark.parametrize("stopped", [False, True], ids=["full disk", "SIGTERM"])
def test_a_run_whose_report_was_cut_short_is_not_finished(
    whole_report, tmp_path, monkeypatch, capsys, name, stopped
):
    config, run, whole = whole_report
    scored = scores_of_finished(config, whole)
    assert scored is not None
    folder = trained(tmp_path / "run")
    sync = os.fsync

    def cut(number):
        if f"/.{name}." not in os.readlink(f"/proc/self/fd/{number}"):
            sync(number)
        elif stopped:
            raise Stopped(signal.SIGTERM)
        else:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", cut)
        with pytest.raises(Stopped if stopped else OSError):
            finish(config, folder, run)
    assert scores_of_finished(config, folder) is None
    capsys.readouterr()
    finish(config, folder, run)
    told = capsys.readouterr().out
    assert {*os.listdir(folder)} == {*os.listdir(whole)}
    for file in ("results.json", *REPORT):
        assert str(folder / file) in told
    for file in ("results.json", "ranks.csv", "report.html"):
        made = (folder / file).read_text().replace(str(folder), str(whole))
        assert made == (whole / file).read_text()
    assert scores_of_finished(config, folder) == scored


@pytest.mark.slow
def test_the_page_of_a_run_is_of_its_new_scores(whole_report, tmp_path):
    """Also where those of fewer epochs lie there: results.json comes last."""
    config, run, whole = whole_report
    folder = shutil.copytree(whole, tmp_path / "run")
    about, scores = read_results(folder / "results.json")
    others = [dataclasses.replace(score, feature="of before") for score in scores]
    (folder / "results.json").write_text(results_json(others, about | {"step": 4}))
    assert scores_of_finished(config, folder) is None
    finish(config, folder, run)
    page = (folder / "report.html").read_text().replace(str(folder), str(whole))
    assert page == (whole / "report.html").read_text()


@pytest.mark.slow
def test_a_finished_run_of_before_names_the_files_that_are_there(
    whole_report, tmp_path, capsys
):
    """Earlier versions wrote fewer files; large ones may have been deleted."""
    config, _, whole = whole_report
    folder = shutil.copytree(whole, tmp_path / "run")
    for name in REPORT:
        (folder / name).unlink()
    scored = scores_of_finished(config, folder)
    assert scored is not None
    print_finished(scored, folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(folder / "results.json") and "features.npz" not in lines[-2]


@pytest.mark.parametrize("measure", ["cosine", "euclidean"])
def test_a_report_is_by_the_runs_measure(ended, tmp_path, monkeypatch, measure):
    """Its scores, rank lists and sheet, and what its features' file says."""
    config, run = copy.deepcopy(ended[0]), ended[1]
    config.embedding.measure, config.evaluation.sheet_rows = measure, 2
    test, sheets = run.images.test, []
    rng = np.random.default_rng(1)
    vectors = np.eye(9)[test.ids % 9] + 0.4 * rng.normal(size=(len(test), 9))
    vectors = (vectors * rng.uniform(1, 3, (len(test), 1))).astype(np.float32)
    monkeypatch.setattr(results, "save_cmc_plot", lambda *_: None)
    monkeypatch.setattr(
        results, "save_rank_sheet", lambda _, lists, **__: sheets.extend(lists)
    )
    features = {"fused": vectors}
    found = results.write_report(config, tmp_path, 6, features, test)
    protocol, options = config.data.protocol, config.evaluation
    scores = {
        name: score_features(
            features, test, protocol, options, reranking=False, measure=name
        )
        for name in ("cosine", "euclidean")
    }
    assert scores["cosine"] != scores["euclidean"] and found == scores[measure]
    assert results.score(config, features, test, reranking=False) == found
    with np.load(tmp_path / "features.npz") as file:
        assert str(file["measure"]) == measure

    wide = vectors.astype(np.float64)
    if measure == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    trials = protocol.example_trials(test, options)
    (trial,) = trials
    nearest = {}
    for query, place in zip(trial.query, trial.query_place, strict=True):
        left = trial.gallery[trial.gallery_place != place]
        apart = ((wide[left] - wide[query]) ** 2).sum(1)
        nearest[int(query)] = left[np.argsort(apart)][:10]
    assert len(sheets) == 2
    for ranked in sheets:
        assert ranked.nearest.tolist() == nearest[ranked.query].tolist()
    listed = {}
    with open(tmp_path / "ranks.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            listed.setdefault(row["query"], []).append(row["file"])
    paths = test.paths
    assert listed == {str(paths[q]): paths[n].tolist() for q, n in nearest.items()}
