"""Terminals that are closed and pipes whose reader ends: no work is lost by them."""

import contextlib
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
import regdb_runs
import tiny

from jreid.config_json import to_json
from jreid.progress import Progress
from jreid.run import split_training
from jreid.run.reporter import make_reporter
from jreid.run.split_training import Child, split_runs, train_splits

ROOT = pathlib.Path(__file__).parent.parent

LOOP = """
import pathlib, sys, time
from jreid import ending
from jreid.processes.interrupt import Interrupt
from jreid.progress import Progress

def loop(_):
    with Interrupt() as interrupt, Progress(1000, "train") as bar:
        for step in range(1000):
            time.sleep(0.05)
            bar.update(step)
            bar.message(f"step {step}")
            if interrupt.number:
                pathlib.Path(sys.argv[1]).write_text("saved")
                bar.message("stopped; it is saved")
                piped and print("a line, which is kept in the buffer")
                return 128 + interrupt.number

piped = not sys.stdout.isatty()
sys.exit(ending.exit_code(loop, []))
"""
TERMINAL = "import fcntl, termios\nfcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"
TRAIN = "import runpy\nrunpy.run_module('jreid.train', run_name='__main__')\n"


def start(program, *words, stream, **options):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
        stdout=stream,
        stderr=stream,
        **options,
    )


def on_terminal(program, *words):
    """The process, on a terminal of its own, and the terminal's other end."""
    outer, inner = pty.openpty()
    process = start(TERMINAL + program, *words, stream=inner, start_new_session=True)
    os.close(inner)
    return process, outer


def on_pipe(program, *words):
    reading, writing = os.pipe()
    process = start(program, *words, stream=writing)
    os.close(writing)
    return process, reading


def test_a_loop_whose_terminal_is_closed_saves(tmp_path):
    process, outer = on_terminal(LOOP, tmp_path / "saved")
    assert b"step" in os.read(outer, 1000)
    os.close(outer)
    assert process.wait(30) == 129
    assert (tmp_path / "saved").exists()


def test_a_loop_whose_reader_ends_by_the_same_signal_saves(tmp_path):
    """As with 2>&1 | tee, which Ctrl-C ends as well."""
    process, reading = on_pipe(LOOP, tmp_path / "saved")
    assert b"step" in os.read(reading, 1000)
    os.close(reading)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert (tmp_path / "saved").exists()


@pytest.fixture
def unread():
    """A stream that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    yield stream
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_metrics_are_written_where_nobody_reads_the_progress(tmp_path, unread):
    options = {"total_steps": 2, "first_step": 1, "stream": unread}
    with make_reporter(tmp_path, **options) as reporter:
        reporter.message("a line")
        for step in (1, 2):
            reporter.scalars(step, {"loss": 1.0})
    assert [line["step"] for line in tiny.metrics(tmp_path)] == [1, 2]


def test_a_closed_stream_ends_no_loop(tmp_path):
    with open(tmp_path / "log", "w") as stream, Progress(2, "x", stream=stream) as bar:
        bar.update(1)
        stream.close()
        bar.message("a line")
        bar.update(2)
    assert (tmp_path / "log").read_text().startswith("x  50%")


def test_splits_are_trained_where_nobody_reads(tmp_path, monkeypatch, unread):
    runs = split_runs(regdb_runs.tiny_config(tmp_path), tmp_path / "regdb", [1, 2])
    commands = []
    monkeypatch.setattr(Child, "run", lambda _, words: commands.append(words) or 0)
    monkeypatch.setattr(
        split_training, "score_runs", lambda runs, out, show: show("mean")
    )
    monkeypatch.setattr(sys, "stdout", unread)
    assert train_splits(runs, (), tmp_path / "mean") == 0
    assert [words[-2] for words in commands] == [
        "--config.data.split=1",
        "--config.data.split=2",
    ]


ENDS = """
import sys
from jreid import ending
from jreid.streams import perhaps_unread, say

def program(_):
    sys.stdin.readline()  # until the terminal has gone
    say("a line", sys.stdout)
    with perhaps_unread(sys.stdout):
        print("a table")

sys.exit(ending.exit_code(program, []))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_done_ends_with_0_where_nobody_reads(unbuffered):
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ENDS],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.PIPE,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    os.close(parent)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


def command_of(tmp_path, config):
    script = tmp_path / "config.py"
    values = json.dumps(to_json(config))
    script.write_text(
        "import json\nfrom jreid.config_json import from_json\n"
        f"def get_config():\n    return from_json(json.loads({values!r}))\n"
    )
    return f"--config={script}", f"--workdir={tmp_path / 'run'}"


@pytest.mark.slow
def test_a_training_whose_terminal_is_closed_saves(tmp_path):
    config = tiny.tiny_config(tiny.make_tree(tmp_path / "tree"))
    config.schedule.epochs, config.checkpoint.every_epochs = 10_000, 10_000
    process, outer = on_terminal(TRAIN, *command_of(tmp_path, config))
    metrics, until = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 300
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None and time.monotonic() < until
        if select.select([outer], [], [], 0.05)[0]:
            os.read(outer, 10_000)
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))
    os.close(outer)
    assert process.wait(60) == 129
    saved = tiny.final_state(tmp_path / "run")["step"]
    assert saved == tiny.metrics(tmp_path / "run")[-1]["step"] > 0


@pytest.mark.slow
def test_a_training_that_nobody_reads_ends_as_any(tmp_path):
    config = tiny.tiny_config(tiny.make_tree(tmp_path / "tree"))
    process, reading = on_pipe(TRAIN, *command_of(tmp_path, config))
    os.close(reading)
    assert process.wait(600) == 0
    assert (tmp_path / "run" / "results.json").exists()
