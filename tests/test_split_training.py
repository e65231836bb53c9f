"""RegDB's splits trained one after the other: what is skipped, continued, stopped."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import regdb_runs
from regdb_runs import finish, tiny_config

from jreid.run.finished import UNFINISHED
from jreid.run.run_folders import RunFolder
from jreid.run.split_training import Child, split_runs, train_all, train_splits

TESTS = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return regdb_runs.make_tree(tmp_path_factory.mktemp("RegDB"))


@pytest.fixture
def finished(tree, tmp_path) -> list[RunFolder]:
    runs = split_runs(tiny_config(tree), tmp_path / "regdb", [1, 2, 3])
    return [finish(run) for run in runs]


@pytest.mark.slow
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
    train = ("--config=regdb:all",)
    mean = tmp_path / "mean"
    assert train_splits(runs, train, mean) == 143
    assert commands[0][1:] == (
        *("-m", "jreid.train", *train),
        *("--config.data.split=2", f"--workdir={runs[1].folder}"),
    )
    codes[:] = [0, 2]
    with pytest.raises(
        ValueError, match="split 3 in .*regdb-3 failed with exit code 2"
    ):
        train_splits(runs, train, mean)
    codes[:] = [0]
    assert train_splits(runs, train, mean) == 0
    splits_trained = [command[-2][-1] for command in commands]
    assert splits_trained == ["2", "2", "3", "3"]
    assert (mean / "results.json").exists()
    assert train_splits(runs, train, mean) == 0
    assert len(commands) == 4
    (runs[0].folder / UNFINISHED).touch()  # its report was cut short
    codes[:] = [0]
    assert train_splits(runs, train, mean) == 0
    assert [command[-2][-1] for command in commands[4:]] == ["1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_child_once(tmp_path, number):
    """The child takes its time to save and ends with the code of the signal."""
    code = (
        "import pathlib, signal, sys, time\n"
        "seen = []\n"
        "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
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


def test_what_cannot_be_trained_as_splits(tree, tmp_path):
    config = tiny_config(tree)
    for chosen in ((0,), (1, 11)):
        with pytest.raises(ValueError, match="RegDB has the splits 1 to 10"):
            train_all(config, tmp_path / "regdb", chosen, ())
    with pytest.raises(ValueError, match="use it with a config for all of them"):
        train_all(tiny_config(tree, split=2), tmp_path / "regdb", (), ())
    with pytest.raises(FileNotFoundError, match="visible_4.txt"):
        train_all(config, tmp_path / "regdb", (1, 4), ())


def run_program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jreid.train", *arguments],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.long
def test_the_ten_splits_in_one_command(tree, tmp_path):
    """Two of them: one is there already, the other is trained; then their mean."""
    script = tmp_path / "tiny_regdb.py"
    script.write_text(
        f"import pathlib, sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from regdb_runs import tiny_config\n"
        f"def get_config():\n    return tiny_config(pathlib.Path({str(tree)!r}))\n"
    )
    runs = split_runs(tiny_config(tree), tmp_path / "regdb", [1, 3])
    finish(runs[0])
    command = (f"--config={script}", f"--workdir={tmp_path / 'regdb'}")
    done = run_program(*command, "--splits", "1", "3")
    assert done.returncode == 0, done.stderr
    assert f"split 1: finished, in {tmp_path / 'regdb-1'}" in done.stdout
    assert f"split 3: training in {tmp_path / 'regdb-3'}" in done.stdout
    assert "mean of 2 splits (1, 3)" in done.stdout
    assert (tmp_path / "regdb-mean" / "results.json").exists()
    assert runs[1].stored_scores() is not None
