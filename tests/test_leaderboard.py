"""The table of systems: what it trains, what it leaves, what it says."""

import csv
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import tiny

from jreid import __version__, command_line
from jreid.config_files import load
from jreid.config_json import from_json
from jreid.evaluation.files.results_file import results_json, write_results
from jreid.run import results
from jreid.run.about import about_run
from jreid.run.split_training import Child
from jreid.run.workdir import CONFIG, METRICS, open_workdir
from tools import leaderboard, leaderboard_page, system_cost
from tools.system_cost import Cost, measured_cost
from tools.throughput.flops import forward_flops

STEPS = 30  # of a run
ALL = "all-search single-shot"
REPORT = {
    "parameters": 24_330_000,
    "height": 288,
    "width": 144,
    "batch": 96,
    "memory": {"peak": 3_230_000_000},
    "roofline": {"flops": 1.962e12, "seconds": 9.02e-3},
}
NOISE = {"full": 3.0, "mmn": 0.3}  # of test features around their identity's


@pytest.fixture
def trained(monkeypatch, tmp_path) -> list:
    """Runs that the tool has started, which write made-up results and no network."""
    started = []

    def train(child, words, cwd):
        words = words[3:]
        folder = leaderboard.Path(words[words.index("--workdir") + 1])
        given = command_line.parse_with_config(
            leaderboard.Nothing, "", words[: words.index("--workdir")], description=""
        )
        started.append(folder.name)
        if "--config.optimizer.lr=0.2" in words and "mmn" in folder.name:
            return 137
        with open_workdir(folder, given.config):
            pass
        training = {"identities": [1], "images": 1, "crc32_of_names": 0}
        text = json.dumps(training | {"steps_per_epoch": STEPS})
        (folder / "training_set.json").write_text(text)
        steps = STEPS * given.config.schedule.epochs
        steps = min(given.config.steps or steps, steps)
        (folder / "checkpoints" / str(steps)).mkdir(parents=True, exist_ok=True)
        lines = [{"images_per_second": speed} for speed in (90, 210, 190)]
        text = "\n".join(json.dumps({"step": 1} | line) for line in lines)
        (folder / METRICS).write_text(text + "\n")
        about = about_run(given.config, steps)
        write_results(folder, scores(given.config, folder.name), about)
        return 0

    def scores(config, name):
        images = config.data.read().test
        rng = np.random.default_rng(len(name))
        features = np.eye(8)[images.ids] + NOISE[name.partition("-")[0]] * rng.normal(
            size=(len(images), 8)
        )
        given = {"fused": features.astype(np.float32)}
        return results.score(config, given, images, reranking=False)

    monkeypatch.setattr(Child, "run", train)
    cost = Cost(parameters=2_000_000, gflops=0.5, width=16, images=1_500_000)
    monkeypatch.setattr(leaderboard, "measured_cost", lambda _: cost)
    return started


def run(tmp_path, *more, systems=("full", "mmn")):
    root = tmp_path / "tree"
    if not root.is_dir():
        tiny.make_tree(root)
    words = ["--config", "sysu", f"--config.data.root={root}", "--systems", *systems]
    words += ["--seeds", "2", "--runs", str(tmp_path / "runs")]
    words += ["--config.evaluation.trials=2", "--config.evaluation.rerank=False"]
    return leaderboard.main([*words, "--out", str(tmp_path / "out"), *more])


@pytest.mark.long
def test_trains_what_is_missing_and_ranks_it(tmp_path, trained, capsys):
    assert run(tmp_path, systems=("full",)) == 0
    assert trained == ["full-seed0", "full-seed1"]
    assert run(tmp_path) == 0
    assert trained[2:] == ["mmn-seed0", "mmn-seed1"], "the finished are left alone"
    with (tmp_path / "out" / "leaderboard.csv").open(newline="") as file:
        table = [r for r in csv.DictReader(file) if r["setting"] == ALL]
    assert [line["system"] for line in table] == ["mmn", "full"]
    assert float(table[0]["R-1"]) > float(table[1]["R-1"])
    assert (table[0]["published R-1"], table[0]["published mAP"]) == ("70.6", "66.9")
    assert table[1]["published R-1"] == "56.4"
    assert [line["images/s"] for line in table] == ["190", "190"]
    assert (
        0 < float(table[0]["p to next"].lstrip("<")) <= 1 and not table[1]["p to next"]
    )
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    assert page.count("<td>mmn</td>") == page.count("<td>full</td>") > 0
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "| mmn | 2 |" in text and "SynVI" not in text
    (tmp_path / "runs" / "mmn-seed1" / "results.json").unlink()
    assert run(tmp_path) == 0
    assert trained[4:] == ["mmn-seed1"], "what was stopped is given again"


@pytest.mark.slow
def test_what_a_step_needs_stands_beside_the_scores(tmp_path, trained, capsys):
    folder = tmp_path / "costs"
    more = ["--step_costs", str(folder)]
    assert run(tmp_path, *more, systems=("full",)) == 2
    assert "full.json does not exist: python tools/step_costs.py --systems full" in (
        capsys.readouterr().err
    )
    folder.mkdir()
    (folder / "full.json").write_text(json.dumps(REPORT))
    assert run(tmp_path, *more, systems=("full",)) == 0
    with (tmp_path / "out" / "leaderboard.csv").open(newline="") as file:
        line = next(csv.DictReader(file))
    found = {name[6:]: x for name, x in line.items() if name.startswith("step: ")}
    assert found == {
        "M parameters": "24.3",
        "size": "288 x 144",
        "batch": "96",
        "GFLOP": "1,962",
        "peak GB": "3.2",
        "ms": "9.0",
        "ms an image": "0.09",
    }
    assert "an estimate" in (tmp_path / "out" / "leaderboard.html").read_text()


@pytest.mark.slow
def test_a_run_of_another_config_is_refused(tmp_path, trained, capsys):
    assert run(tmp_path, systems=("full",)) == 0
    assert run(tmp_path, "--config.optimizer.lr=0.2", systems=("full",)) == 2
    assert "full-seed0 is a run that differs in config.optimizer.lr" in (
        capsys.readouterr().err
    )


def write_scores(folder, about):
    (folder / "results.json").write_text(results_json([], about))


@pytest.fixture
def finished(tmp_path):
    """Makes the planned run of words, and its folder as that of a finished run."""

    def make(*words):
        options = leaderboard.Options(runs=tmp_path)
        words = ("--config", "demo", *words)
        draw = command_line.parse_with_config(
            leaderboard.Nothing, "", list(words), description=""
        ).config.evaluation.draw
        (run,) = leaderboard.planned("full", words, options, draw)
        return run

    run = make()
    steps = STEPS * run.config.schedule.epochs
    assert not leaderboard.is_finished(run)
    with open_workdir(run.folder, run.config):
        pass
    training = {"identities": [1], "images": 1, "crc32_of_names": 0}
    text = json.dumps(training | {"steps_per_epoch": STEPS, "last_step": steps})
    (run.folder / "training_set.json").write_text(text)
    (run.folder / "checkpoints" / str(steps)).mkdir(parents=True)
    write_scores(run.folder, about_run(run.config, steps))
    assert leaderboard.is_finished(run)
    return make


@pytest.mark.parametrize(
    ("word", "lack"),
    [
        ("evaluation.draw=official", "is scored with another config.evaluation.draw"),
        ("evaluation.trials=1", "is scored with another config.evaluation.trials"),
        ("embedding.flip=True", "is scored with another config.embedding.flip"),
    ],
)
def test_a_run_that_is_scored_otherwise_is_scored_again(finished, word, lack):
    run = finished(f"--config.{word}")
    assert not leaderboard.is_finished(run)
    assert leaderboard.lack(run) == lack


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("steps=20", "steps, and config.steps is 20: give another --runs"),
        ("data.root=SYSU-MM01", "differs in config.data.root: .* have only moved"),
        ("optimizer.lr=0.2", "differs in config.optimizer.lr: .*or remove it$"),
    ],
)
def test_a_run_of_another_budget_or_data_set_is_refused(finished, word, reason):
    with pytest.raises(ValueError, match=reason):
        leaderboard.is_finished(finished(f"--config.{word}"))


def test_a_run_that_was_cut_short_goes_on(finished):
    run = finished()
    steps = STEPS * run.config.schedule.epochs
    (run.folder / "checkpoints" / str(steps)).rename(run.folder / "checkpoints" / "20")
    write_scores(run.folder, about_run(run.config, 20))
    assert leaderboard.lack(run) == f"ended at step 20 of {steps}"
    cut = finished("--config.steps=20")
    assert leaderboard.lack(cut) == "is scored with another config.steps"
    write_scores(run.folder, about_run(cut.config, 20))
    assert leaderboard.is_finished(cut)
    write_scores(run.folder, about_run(cut.config, 10))
    assert leaderboard.lack(cut) == "is scored at step 10, not at 20"
    (run.folder / "results.json").write_text("{")
    assert leaderboard.lack(cut) == "is not scored"


def test_a_run_that_another_version_scored_is_scored_again(finished):
    run = finished()
    about = about_run(run.config, STEPS * run.config.schedule.epochs)
    write_scores(run.folder, about | {"version": "0.1.0"})
    assert leaderboard.lack(run) == f"is scored by jreid 0.1.0, not by {__version__}"


@pytest.fixture
def training(tmp_path, monkeypatch):
    """The table with a program in place of jreid.train: its exit code and folder."""
    monkeypatch.setattr(leaderboard, "ROOT", tmp_path)
    (tmp_path / "jreid").mkdir()
    (tmp_path / "jreid" / "__init__.py").touch()

    def make(lines, *words):
        start = "import pathlib, signal, sys, time\n"
        (tmp_path / "jreid" / "train.py").write_text(start + lines)
        return leaderboard.main(["--config", "demo", *words, "--runs", str(tmp_path)])

    return make


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_training_save(training, tmp_path, capsys, number):
    slow = (
        "seen = []\n"
        "for n in (signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(n, lambda n, frame: seen.append(n))\n"
        "pathlib.Path('ready').touch()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "pathlib.Path('saved').touch()\n"
        "sys.exit(128 + seen[0])"
    )

    def send():
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    assert training(slow, "--systems", "full", "mmn") == 128 + number
    sender.join()
    assert (tmp_path / "saved").exists()
    assert capsys.readouterr().err == (
        "stopped in full seed 0; the same command continues\n"
    )


def test_a_training_that_fails_does_not_end_the_others(training, tmp_path, capsys):
    fails = "print(sys.argv[2], file=open('tried', 'a'))\nsys.exit(3)"
    assert training(fails, "--systems", "full", "mmn") == 3
    assert (tmp_path / "tried").read_text().split() == ["demo:full", "demo:mmn"]
    error = capsys.readouterr().err.splitlines()
    assert error == [
        *(f"note: {n} seed 0 failed with exit code 3, see above" for n in NOISE),
        *(f"note: {n} is left out: seed 0 has no checkpoint" for n in NOISE),
    ]


@pytest.mark.slow
def test_what_did_not_fail_has_a_table(tmp_path, trained):
    root = tiny.make_tree(tmp_path / "tree")
    words = ["--config", "sysu", f"--config.data.root={root}", "--systems", "mmn"]
    words += ["full", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert leaderboard.main([*words, "--config.optimizer.lr=0.2"]) == 137
    assert trained == ["mmn-seed0", "full-seed0"]
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "| full | 1 |" in text and "mmn" not in text


def test_what_is_the_first_systems_own_is_set_in_the_others(training, tmp_path):
    """A rate that the demo has, and that pmt's demo has not."""
    shows = "print(*sys.argv[3:], file=open('words', 'a'))\nsys.exit(3)"
    rate = load("demo").optimizer.lr
    assert load("demo:pmt").optimizer.lr != rate
    words = (f"--config.optimizer.lr={rate}", "--config.size", "96", "48")
    training(shows, *words, "--systems", "full", "pmt")
    for line in (tmp_path / "words").read_text().splitlines():
        assert line.startswith(" ".join(words))


def test_what_is_not_trained_is_named_shortly(tmp_path, capsys):
    words = ["--config", "demo", "--systems", "full", "rle", "--seeds", "2"]
    words += ["--runs", str(tmp_path / "runs"), "--no_train"]
    assert leaderboard.main(words) == 2
    error = capsys.readouterr().err.splitlines()
    lacks = "is left out: seed 0 has no checkpoint; seed 1 has no checkpoint"
    assert error[:2] == [f"note: {name} {lacks}" for name in ("full", "rle")]
    assert len(error) == 3 and len(error[2]) < 300
    assert "no system is finished in" in error[2]


@pytest.mark.slow
def test_a_system_that_lacks_a_seed_is_named(tmp_path, trained, capsys):
    assert run(tmp_path) == 0
    (tmp_path / "runs" / "mmn-seed1" / "results.json").unlink()
    capsys.readouterr()
    assert run(tmp_path, "--no_train") == 0
    assert capsys.readouterr().err == "note: mmn is left out: seed 1 is not scored\n"
    assert "mmn" not in (tmp_path / "out" / "leaderboard.md").read_text()


@pytest.mark.slow
def test_every_run_sees_the_images_asked_for(tmp_path, trained):
    fewer = "--config.sampling.identities=4"
    assert run(tmp_path, fewer, "--images", "100000", systems=("full",)) == 0
    stored = json.loads((tmp_path / "runs" / "full-seed0" / CONFIG).read_text())
    config = from_json(stored)
    seen = config.steps_per_epoch * config.schedule.epochs * 2 * 4 * 4
    assert abs(seen - 100_000) <= config.schedule.epochs * 32 / 2


@pytest.mark.slow
def test_costs_are_counted(tmp_path):
    config = tiny.tiny_config(tiny.make_tree(tmp_path / "tree"))
    cost = measured_cost(config)
    stem = 4 * 3 * 49 * (32 // 2) * (16 // 2) * 2 / 1e9  # its convolution alone
    assert stem < cost.gflops < 20 * stem
    assert cost.width == 2 * 8  # two branches of 8 channels
    assert cost.images == 3 * 2 * 12  # epochs, steps, images of a batch
    wider = load("sysu")
    wider.data.root = config.data.root
    wider.sampling.identities = 3
    assert measured_cost(wider).parameters > 100 * cost.parameters


@pytest.mark.slow
def test_operations_are_a_gpus_on_every_machine(monkeypatch):
    """Those of the network's parts; a CPU's 3 x 3 convolutions are fewer."""
    monkeypatch.setattr(system_cost, "images_seen", lambda _: 0)
    config = load("demo:base")
    config.network.trunk.width, config.network.trunk.after = 1 / 8, {}
    config.size = (160, 96)
    counted = forward_flops(config.network, *config.size)
    cost = system_cost.measured_cost(config)
    assert cost.gflops == pytest.approx(counted / 1e9, rel=0.12)


def test_names_of_near_points_stand_apart():
    points = [(1.0, 50.0), (1.0, 51.0), (1.0, 60.0), (2.0, 50.0), (1.1, 50.5)]
    heights = leaderboard_page.label_heights(points)
    assert heights == [50, 56, 60, 50, 53]


def test_named_are_those_that_no_cheaper_one_reaches(rng):
    points = [(x, y) for x, y in rng.integers(0, 9, (40, 2)).tolist()]
    named = [points[place] for place in leaderboard_page.unreached(points)]
    assert named == sorted(set(named))
    for x, y in set(points):
        others = set(points) - {(x, y)}
        reached = any(cost <= x and rate >= y for cost, rate in others)
        assert reached != ((x, y) in named)


def test_a_synthetic_set_is_not_called_by_its_protocols_name():
    setting = ("SYSU-MM01", ALL)
    assert leaderboard_page.title(setting, synthetic=False) == f"SYSU-MM01, {ALL}"
    synthetic = leaderboard_page.title(setting, synthetic=True)
    assert synthetic == f"SynVI by the protocol of SYSU-MM01, {ALL}"
