"""The evaluation program on features: tables, files, and what it refuses."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.io

from jreid import evaluate
from jreid.evaluation.files.features_file import score_file
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.table import format_table


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(5), 12)
    cameras = np.tile(np.arange(1, 7), 10)
    path = tmp_path_factory.mktemp("features") / "features.npz"
    np.savez(
        path,
        features=rng.normal(size=(60, 8)) + np.eye(8)[ids],
        v1=rng.normal(size=(60, 4)),
        ids=ids,
        cameras=cameras,
        modality=np.isin(cameras, (3, 6)),
        loss=np.zeros(60),
    )
    return path


def run(capsys, *arguments):
    code = evaluate.main([str(a) for a in arguments])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("protocol", "arguments", "options"),
    [
        (
            "sysu",
            ("--trials", 2, "--modes", "indoor"),
            dict(trials=2, modes=["indoor"]),
        ),
        ("sysu", ("--shots", 1, "--no-rerank"), dict(shots=[1], reranking=False)),
        ("regdb", ("--split", 3), dict(split=3)),
        ("llcm", ("--legacy", "--trials", 2), dict(legacy=True, trials=2)),
        ("custom", ("--kinds", "v1"), dict(kinds=["v1"])),
    ],
)
def test_the_table_is_the_functions(
    features, tmp_path, capsys, protocol, arguments, options
):
    common = ("--features", features, "--protocol", protocol, "--out", tmp_path)
    code, out, err = run(capsys, *common, *arguments)
    assert code == 0
    scores = score_file(features, protocol, **options)
    about, written = read_results(tmp_path / "results.json")
    assert written == scores
    assert out.startswith(format_table(scores, about))
    assert about["features_file"] == "features.npz"
    assert about["step"] is about["config_hash"] is about["feature"] is None
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "cmc.png"}
    assert "not used: loss" in err


def test_no_file_is_written_without_out(features, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "--features", features, "--protocol", "custom")[0] == 0
    assert not list(tmp_path.iterdir())


def test_two_files_are_compared(features, capsys, tmp_path):
    common = ("--features", features, "--protocol", "regdb")
    run(capsys, *common, "--kinds", "features", "--out", tmp_path / "a")
    run(capsys, *common, "--kinds", "v1", "--out", tmp_path / "b")
    code, out, _ = run(capsys, "--compare", tmp_path / "a", tmp_path / "b", "paper")
    assert code == 0
    assert f"{tmp_path / 'a'}: features" in out
    assert f"{tmp_path / 'b'}: v1, re-ranked" in out


def test_several_files_are_splits_of_regdb(features, capsys, tmp_path):
    files = [tmp_path / f"{name}.npz" for name in "abc"]
    columns = dict(np.load(features))
    rng = np.random.default_rng(1)
    for file in files:
        columns["features"] = rng.normal(size=(60, 8))
        np.savez(file, **columns)
    common = ("--protocol", "regdb", "--kinds", "features", "--out", tmp_path / "mean")
    code, out, err = run(capsys, "--features", *files, *common)
    assert code == 0, err
    _, means = read_results(tmp_path / "mean" / "results.json")
    each = [score_file(f, "regdb", kinds=["features"], split=1) for f in files]
    for mean, *rows in zip(means, *each, strict=True):
        assert mean.splits == (1, 2, 3)
        expected = np.mean([row.mean["mAP"] for row in rows])
        np.testing.assert_allclose(mean.mean["mAP"], expected, atol=1e-12)
    assert "mean of 3 splits (1, 2, 3), not the published protocol" in out
    assert "\nmean, features of a.npz, b.npz, c.npz\n" in out
    code, _, err = run(capsys, "--features", *files, "--protocol", "sysu")
    assert code == 2
    assert "3 features files: several are up to ten splits of RegDB" in err


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("split1.npz", "split10.npz", "split2.npz"), (1, 2, 10)),
        (("run-7/features.npz", "run-3/features.npz"), (3, 7)),
        (("v.npz", "other.npz"), (1, 2)),
        (("try3/a.npz", "try3/b.npz"), (1, 2)),
    ],
)
def test_the_number_of_a_file_is_its_split(features, capsys, tmp_path, names, splits):
    # As a shell gives them: split10.npz before split2.npz.
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(features.read_bytes())
    common = ("--protocol", "regdb", "--no-rerank", "--out", tmp_path / "mean")
    files = [tmp_path / name for name in names]
    code, out, err = run(capsys, "--features", *files, *common)
    assert code == 0, err
    _, means = read_results(tmp_path / "mean" / "results.json")
    assert means[0].splits == splits
    assert f"draw 'every image', split {splits[0]}, percent" in out


@pytest.mark.parametrize(
    "names",
    [
        ("features.npz", "m1.npz"),
        ("a1.npz", "b1.npz"),
        ("split4_288x144.npz", "split5_288x144.npz"),
        ("split4_ep80.npz", "split10_ep81.npz"),
    ],
)
def test_a_name_that_contradicts_its_place_is_asked_about(
    features, capsys, tmp_path, names
):
    for name in names:
        (tmp_path / name).write_bytes(features.read_bytes())
    files = [tmp_path / name for name in names]
    code, _, err = run(capsys, "--features", *files, "--protocol", "regdb")
    assert code == 2 and "which splits of RegDB are" in err and "--split" in err


def test_junk_is_left_out_and_the_table_says_so(features, capsys, tmp_path):
    columns = dict(np.load(features))
    keep = columns["ids"] != 4
    columns["ids"] = np.where(keep, columns["ids"], -1)
    np.savez(tmp_path / "junk.npz", **columns)
    np.savez(tmp_path / "clean.npz", **{k: v[keep] for k, v in columns.items()})
    options = ("--protocol", "custom", "--kinds", "v1")
    tables = []
    for name in ("junk", "clean"):
        file = tmp_path / f"{name}.npz"
        code, out, err = run(capsys, "--features", file, *options, "--out", tmp_path)
        assert code == 0, err
        tables.append(out.splitlines())
        assert (
            score_file(file, "custom", kinds=["v1"])
            == read_results(tmp_path / "results.json")[1]
        )
    line = "left out: 12 images of a negative identity (junk)"
    assert line in tables[0] and line not in tables[1]
    tables[0].remove(line)
    assert tables[0][2:] == tables[1][2:]
    columns["ids"][:] = -1
    np.savez(tmp_path / "all.npz", **columns)
    code, _, err = run(capsys, "--features", tmp_path / "all.npz", *options)
    assert code == 2 and "every id is negative" in err


def test_results_of_the_baseline_come_with_their_recipe(capsys, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    stored = {}
    for side, count in (("query", 6), ("gallery", 9)):
        stored[f"{side}_f"] = rng.normal(size=(count, 4))
        stored[f"{side}_label"] = np.arange(count)[None] % 3
        stored[f"{side}_cam"] = np.full((1, count), 1 + (side == "query"))
    scipy.io.savemat(tmp_path / "pytorch_result.mat", stored)
    file = ("--features", tmp_path / "pytorch_result.mat", "--protocol", "custom")
    code, _, err = run(capsys, *file)
    assert code == 2
    recipe = [line.strip() for line in err.splitlines() if line.startswith("  ")]
    assert len(recipe) == 3
    exec("\n".join(recipe), {"np": np, "scipy": scipy})
    code, out, _ = run(
        capsys, "--features", tmp_path / "pytorch_result.npz", "--protocol", "custom"
    )
    assert code == 0
    assert "6 queries, gallery of 9" in out and "9 queries, gallery of 6" in out


def test_ties_that_decide_are_told_with_their_share(features, capsys, tmp_path):
    columns = dict(np.load(features))
    alike = np.ones_like(columns["features"])
    np.savez(tmp_path / "alike.npz", **{**columns, "features": alike})
    options = ("--protocol", "custom", "--kinds", "features", "--no-rerank")
    _, out, _ = run(
        capsys, "--features", tmp_path / "alike.npz", *options, "--out", tmp_path / "a"
    )
    told = "warning: ties decide 100.0 % of the queries"
    assert out.count(told) == 2
    _, out, _ = run(capsys, "--compare", tmp_path / "a")
    assert out.count(told) == 2
    _, out, _ = run(capsys, "--features", features, *options)
    assert "warning" not in out


def test_one_identity_has_no_interval(features, capsys, tmp_path):
    columns = {name: rows[:24] for name, rows in np.load(features).items()}
    columns["ids"] = np.where(np.arange(24) < 12, 0, np.arange(24) + 1)
    columns["modality"][12:] = 0  # of the others there is no match
    np.savez(tmp_path / "one.npz", **columns)
    common = ("--features", tmp_path / "one.npz", "--protocol", "custom")
    for name in "ab":
        code, out, _ = run(capsys, *common, "--out", tmp_path / name)
        assert code == 0 and "\u2013" not in out
    _, out, _ = run(capsys, "--compare", tmp_path / "a", tmp_path / "b")
    assert "not tested, there is one identity" in " ".join(out.split())
    assert not re.search(r"^ *p value", out, re.MULTILINE)


def test_a_file_counts_once_in_a_mean(features, capsys):
    again = features.parent / "." / features.name
    arguments = ("--features", features, again, "--protocol", "regdb")
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "is given twice: the mean takes one file of each split" in err


REFUSED = [
    (("--features", "F"), "--features needs --protocol, one of sysu, regdb"),
    (("--features", "none.npz", "--protocol", "sysu"), "none.npz"),
    (("--features", "F", "--protocol", "regdb", "--trials", 3), "has no option trials"),
    (("--features", "F", "--protocol", "sysu", "--legacy"), "has no option legacy"),
    (("--features", "F", "--protocol", "llcm", "--modes", "all"), "no option modes"),
    (("--features", "F", "--protocol", "sysu", "--trials", 0), "trials is 0"),
    (("--features", "F", "--protocol", "sysu", "--shots", 0), "shots=0"),
    (("--features", "F", "--protocol", "regdb", "--split", 11), "split is 11"),
    (("--features", "F", "--protocol", "sysu", "--draw", "official"), "official"),
    (
        ("--features", "F", "--protocol", "sysu", "--permutations", "x.mat"),
        "the official draw",
    ),
    (
        ("--features", "F", "--protocol", "sysu", "--kinds", "fused"),
        "no kind of feature 'fused'; the file has 'features', 'v1'",
    ),
    (("--features", "F", "--protocol", "sysu", "--flip"), "--flip goes with --workdir"),
    (("--features", "F", "--protocol", "sysu", "--step", 3), "--step goes with"),
    (
        ("--features", "F", "--protocol", "sysu", "--out", "/dev/null/x"),
        "another --out",
    ),
    (
        ("--features", "F", "--protocol", "sysu", "--draw", "official")
        + ("--permutations", "none.mat"),
        "none.mat",
    ),
    (
        ("--features", "F", "--protocol", "sysu", "--rerank", "--no-rerank"),
        "--rerank and --no-rerank are given",
    ),
    (("--features", "F", "--root", "x"), "--root of features goes with --dataset"),
    (("--features", "F", "--dataset", "llcm", "--tfds", "x"), "--tfds goes with"),
    (
        ("--features", "F", "--dataset", "llcm", "--root", "x"),
        "would not be used; leave them out",
    ),
    (
        ("--features", "F", "--protocol", "sysu", "--dataset", "regdb"),
        "--dataset regdb of features needs --root",
    ),
    (
        ("--features", ".", "--protocol", "sysu"),
        "as jreid.embed writes it: give --labels with a CSV file",
    ),
    (("run", "--features", "F"), "--workdir and --features are given"),
    (("run", "--labels", "x"), "--labels goes with --features, not with --workdir"),
    ((), "one of the arguments --workdir --features --compare is required"),
    (("--compare", "none"), "none does not exist"),
    (("--compare", "paper", "--out", "x"), "--out goes with --workdir or --features"),
    (("--compare", "F"), "is damaged"),
    (("--workdir", "runs", "--protocol", "sysu"), "--protocol goes with --features"),
    (("--workdir", "nowhere-*"), "no run, a folder with config.json, matches"),
    (("--workdir", "nowhere"), "no config.json in"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals_are_one_line(
    features, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    given = [features if word == "F" else word for word in arguments]
    code, out, err = run(capsys, *given)
    assert code == 2
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in err
    assert not out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--protocol", "market"), "invalid choice 'market'"),
        (("--frobnicate",), "Unrecognized options: --frobnicate"),
        (("--trials", "two"), "'two'"),
        (("--no-legacy",), "Unrecognized options: --no-legacy"),
    ],
)
def test_unknown_words_are_refused(features, capsys, arguments, message):
    code, out, err = run(capsys, "--features", features, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help_imports_neither_jax_nor_scipy():
    code = (
        "import sys; from jreid import evaluate\n"
        "assert evaluate.main(['--help']) == 0\n"
        "heavy = {'jax', 'flax', 'optax', 'tensorflow', 'scipy', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--dataset {sysu_mm01,regdb,llcm,folder}" in done.stdout


def test_scoring_features_imports_no_heavy_library(features):
    code = (
        "import sys; from jreid import evaluate\n"
        f"assert evaluate.main(['--features', {str(features)!r}, '--protocol',"
        "'custom']) == 0\n"
        "heavy = {'jax', 'flax', 'tensorflow', 'matplotlib', 'absl'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_results_say_what_they_are(features, tmp_path, capsys):
    run(capsys, "--features", features, "--protocol", "custom", "--out", tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    expected = {
        *("name", "step", "feature", "flip", "config_hash", "config", "dataset"),
        *("root", "split", "trained_on", "measure", "features_file"),
    }
    assert expected <= written.keys()


def test_the_measure_of_a_file_is_told_and_marked(features, tmp_path, capsys):
    columns = dict(np.load(features))
    np.savez(tmp_path / "product.npz", **columns, measure="product")
    common = ("--protocol", "custom", "--kinds", "features", "--no-rerank")
    for name, file in (("a", features), ("b", tmp_path / "product.npz")):
        out = tmp_path / name
        code, text, err = run(capsys, "--features", file, *common, "--out", out)
        assert code == 0, err
        measure = read_results(out / "results.json")[0]["measure"]
        assert measure == ("product" if name == "b" else "cosine")
        assert ("measured by product" in text) == (name == "b")
    _, out, _ = run(capsys, "--compare", tmp_path / "a", tmp_path / "b")
    assert "measured by product against feature kind unknown" in " ".join(out.split())


def test_files_of_other_paths_are_not_tested_against_each_other(
    features, tmp_path, capsys
):
    """Identities are numbered anew in each split of RegDB."""
    columns = dict(np.load(features))

    def scored(name, *places):
        paths = np.array([f"{a}{i}/{n}.bmp" for n, (a, i) in enumerate(places)])
        np.savez(tmp_path / f"{name}.npz", **columns, paths=paths)
        out = tmp_path / name
        given = ("--features", tmp_path / f"{name}.npz", "--protocol", "regdb")
        assert run(capsys, *given, "--out", out)[0] == 0
        return out

    ids = columns["ids"].tolist()
    here = scored("here", *(("/data/Visible/", i) for i in ids))
    moved = scored("moved", *(("D:\\RegDB\\Visible\\", i) for i in ids))
    other = scored("other", *(("/data/Visible/", i + 9) for i in ids))
    _, out, _ = run(capsys, "--compare", here, moved)
    assert "p value" in out and "not tested" not in out
    _, out, _ = run(capsys, "--compare", here, other)
    told = " ".join(out.split())
    assert "not tested, the paths of their test images differ" in told
    assert "\n  p value" not in out
