"""Reports, the progress line on a terminal and elsewhere, and the work directory."""

import contextlib
import fcntl
import io
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

import jax.numpy as jnp
import pytest

from jreid import progress as progress_module
from jreid.config_files import load
from jreid.config_json import to_json
from jreid.models.pooling import Average
from jreid.progress import Progress, duration
from jreid.run.reporter import Reporter, make_reporter, parameter_table
from jreid.run.workdir import open_workdir, read_config, require_shared
from jreid.training import end_time
from jreid.training.writers import TensorBoard


def read_lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def reporter(workdir, first_step=1, **options) -> Reporter:
    options = {"stream": io.StringIO(), **options}
    made = make_reporter(workdir, total_steps=10, first_step=first_step, **options)
    assert isinstance(made, Reporter)
    return made


def test_metrics_are_written_at_once(tmp_path):
    with reporter(tmp_path) as report:
        report.scalars(1, {"loss": jnp.float32(0.5), "lr": 0.25})
        assert read_lines(tmp_path) == [{"step": 1, "loss": 0.5, "lr": 0.25}]
        report.scalars(2, {"loss": math.nan, "lr": -math.inf})
    assert read_lines(tmp_path)[1] == {"step": 2, "loss": None, "lr": None}


def test_resuming_drops_what_will_be_done_again(tmp_path):
    with reporter(tmp_path) as report:
        for step in (1, 2, 3, 4):
            report.scalars(step, {"loss": step})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "lo')  # killed while writing
    with reporter(tmp_path, first_step=3) as report:
        report.scalars(3, {"loss": 30})
    expected = [{"step": 1, "loss": 1}, {"step": 2, "loss": 2}, {"step": 3, "loss": 30}]
    assert read_lines(tmp_path) == expected
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


def test_half_a_line_that_is_whole_json_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}')
    reporter(tmp_path, first_step=9).close()
    assert read_lines(tmp_path) == [{"step": 1}]


def test_tensorboard_gets_the_scalars(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    with reporter(tmp_path, writers=(TensorBoard(),)) as report:
        report.scalars(1, {"loss": 0.5})
        report.scalars(2, {"loss": 8.0})
        report.scalars(3, {"loss": 8.0})
    (events,) = (tmp_path / "tensorboard").iterdir()
    with open(events, "ab") as file:
        file.write(b"half an event")  # killed while writing
    with reporter(tmp_path, first_step=2, writers=(TensorBoard(),)) as report:
        report.scalars(2, {"loss": 0.25})
    board = event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}
    )
    board.Reload()
    values = [
        (event.step, tensor_util.make_ndarray(event.tensor_proto))
        for event in board.Tensors("loss")
    ]
    assert values == [(1, 0.5), (2, 0.25)]


def test_parameter_table():
    params = {
        "trunk": {0: {"kernel": jnp.ones((3, 4))}},
        "neck": jnp.ones((5,), jnp.bfloat16),
        "p": jnp.float32(3),
    }
    table = parameter_table(params)
    assert re.search(r"trunk/0/kernel +\| \(3, 4\) +\| float32 +\| 12", table)
    assert re.search(r"neck +\| \(5,\) +\| bfloat16 +\| 5", table)
    assert "Total: 18 -- 62 bytes" in table


def test_importing_loads_no_tensorflow(tmp_path):
    code = (
        "import sys, jreid.run.reporter as r; r.parameter_table({});"
        f"r.make_reporter({str(tmp_path)!r}, total_steps=1, first_step=1).close();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_keras_is_not_loaded(tmp_path):
    """TensorFlow would, and scikit-learn with it; no program uses them."""
    code = (
        "import sys, pathlib; from jreid.data.quiet import quieten_tensorflow;"
        "quieten_tensorflow(); from jreid.training.writers import TensorBoard;"
        f"writer = TensorBoard().make(pathlib.Path({str(tmp_path)!r}), 1);"
        "writer.write_scalars(1, {'loss': 0.5}); writer.close();"
        "import tensorflow_datasets; from jreid.data import builders, pipeline;"
        "assert 'tensorflow' in sys.modules and 'keras' not in sys.modules"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0 and not ended.stderr, ended.stderr


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_lines_where_there_is_no_terminal(clock):
    stream = io.StringIO()
    with Progress(400, "train", per_step=64, unit="images", stream=stream) as bar:
        for step in range(1, 201):
            bar.update(step, f"loss {step}.0" if step % 50 == 1 else "")
            clock[0] += 0.25
    lines = stream.getvalue().split("\n")
    # 200 steps of a quarter second: a line every ten seconds, and the last state.
    assert lines == [
        "train   0%  step 1/400  loss 1.0",
        "train  10%  step 41/400  loss 1.0  256 images/s  ETA 1:30",
        "train  20%  step 81/400  loss 51.0  256 images/s  ETA 1:20",
        "train  30%  step 121/400  loss 101.0  256 images/s  ETA 1:10",
        "train  40%  step 161/400  loss 151.0  256 images/s  ETA 1:00",
        "train  50%  step 200/400  loss 151.0  256 images/s  ETA 0:50",
        "",
    ]


def test_a_phase_of_larger_batches_has_a_speed_and_an_end_of_its_own(tmp_path, clock):
    stream = io.StringIO()
    with make_reporter(
        tmp_path, total_steps=300, first_step=1, stream=stream
    ) as report:
        for step in range(1, 201):
            if step in (1, 101):
                clock[0] += 100  # compiling, which is not counted
                report.steps_of(18 if step == 1 else 82)
            report.step(step)
            clock[0] += 0.25 if step < 101 else 2.0
    lines = [x for x in stream.getvalue().splitlines() if x.startswith("train ")]
    assert lines[2] == "train  27%  step 81/300  72.0 images/s  ETA 0:55"
    assert lines[3] == "train  34%  step 101/300"
    assert lines[4] == "train  35%  step 106/300  41.0 images/s  ETA 6:28"


@pytest.mark.parametrize(
    ("begins", "ends"),  # Sat 28 Nov 2026 UTC, 12:00:00 and 23:40:00
    [(1795867200, "12:34"), (1795909200, "Sun 29 Nov 00:14")],
)
def test_a_training_says_once_when_it_will_end(
    tmp_path, clock, monkeypatch, begins, ends
):
    monkeypatch.setattr(end_time.time, "time", lambda: begins + clock[0] - 100)
    monkeypatch.setenv("TZ", "UTC")
    end_time.time.tzset()
    stream = io.StringIO()
    options = {"total_steps": 1000, "stream": stream}
    with make_reporter(tmp_path, first_step=1, **options) as report:
        clock[0] += 60  # compiling, which is not counted
        for step in range(1, 40):
            report.step(step) if step % 2 else report.scalars(step, {"loss": 1.0})
            clock[0] += 2.0
    told = [line for line in stream.getvalue().splitlines() if "ends" in line]
    # Measured after 16 steps, 32 s; the other 983 take 1,966 s, from 92 s on.
    assert told == [
        f"training ends about {ends}, in 32:46, at the speed of steps 2 to 17 "
        "(validation not counted)"
    ]


def test_no_end_is_told_of_what_is_too_short_to_measure(tmp_path, clock):
    stream = io.StringIO()
    with make_reporter(tmp_path, total_steps=21, first_step=1, stream=stream) as report:
        for step in range(1, 22):
            report.step(step)
            clock[0] += 1.0
    assert "ends" not in stream.getvalue()


def on_terminal(columns, act):
    """What `act(stream)` sends to a terminal of that many columns."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    received = bytearray()

    def receive():
        with contextlib.suppress(OSError):  # the terminal's end, on Linux
            while chunk := os.read(outer, 4096):
                received.extend(chunk)

    reader = threading.Thread(target=receive)
    reader.start()
    with os.fdopen(inner, "w") as stream:
        act(stream)
    reader.join()
    os.close(outer)
    return received.decode()


def screen(sent):
    """The lines a terminal would show: a carriage return goes to the line's start."""
    lines = []
    for line in sent.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.parametrize("columns", [100, 50, 12])
def test_bar_on_a_terminal_never_wraps(clock, columns):
    def act(stream):
        with Progress(8, "train", per_step=64, unit="images", stream=stream) as bar:
            for step in range(1, 9):
                bar.update(step, "loss 5.113" if step < 3 else "loss 4.9")
                clock[0] += 1
                if step == 4:
                    bar.message("saved")

    sent = on_terminal(columns, act)
    pictures = re.split(r"[\r\n]+", sent)
    assert max(len(picture) for picture in pictures) < columns
    whole = "train 100%  [####################]  step 8/8  loss 4.9  64.0 images/s"
    if columns < len(whole):
        whole = whole.replace("[####################]  ", "")[: columns - 1]
    assert screen(sent) == ["saved", whole.rstrip(), ""]
    assert columns < 100 or "train  25%  [#####...............]" in sent


def test_bar_is_not_drawn_more_often_than_seen(clock):
    def act(stream):
        with Progress(1000, "embed", stream=stream) as bar:
            for step in range(1, 1001):
                bar.update(step)
                clock[0] += 0.001

    assert 8 <= on_terminal(100, act).count("embed") <= 12


def test_progress_ends_the_line_when_the_loop_fails():
    def act(stream):
        with pytest.raises(KeyError), Progress(3, "embed", stream=stream) as bar:
            bar.update(1)
            raise KeyError

    assert on_terminal(80, act).endswith("\n")


def test_durations():
    assert [duration(s) for s in (0.0, 7.4, 754.0, 3723.0)] == [
        "0:00",
        "0:07",
        "12:34",
        "1:02:03",
    ]


def start(folder, config):
    with open_workdir(folder, config):
        (folder / "metrics.jsonl").write_text("{}\n")


def test_workdir_of_another_config_is_refused(tmp_path):
    folder = tmp_path / "runs" / "demo"
    config = load("demo")
    start(folder, config)
    assert read_config(folder) == to_json(config)
    start(folder, config)
    config.optimizer.lr, config.optimizer.clip_norm = 0.1, 1.0
    with pytest.raises(ValueError) as caught:
        start(folder, config)
    assert sorted(str(caught.value).splitlines()[1:-1]) == [
        f"  config.optimizer.clip_norm: 1.0 here, 0.0 in {folder}/config.json",
        f"  config.optimizer.lr: 0.1 here, 0.03 in {folder}/config.json",
    ]
    assert "another --workdir, or delete" in str(caught.value)
    assert read_config(folder)["optimizer"]["lr"] == 0.03, "the refused run changed it"


def test_another_part_is_refused(tmp_path):
    config = load("demo")
    start(tmp_path, config)
    config.network.branches[1].pool = Average()
    with pytest.raises(ValueError, match=r"config.network.branches.1.pool"):
        start(tmp_path, config)


def test_fields_that_may_differ(tmp_path):
    config = load("demo")
    start(tmp_path, config)
    config.steps, config.log.every_steps, config.loading.workers = 7, 3, 2
    config.data.root = "elsewhere"
    start(tmp_path, config)
    assert read_config(tmp_path)["steps"] == 7


def test_workdir_without_results_takes_another_config(tmp_path):
    with pytest.raises(KeyError), open_workdir(tmp_path, load("demo")):
        raise KeyError  # as a run does whose data cannot be found
    with open_workdir(tmp_path, load("demo:base")):
        assert read_config(tmp_path)["name"] == "demo-base"


def test_second_run_is_refused(tmp_path):
    code = (
        "import sys; from jreid.run.workdir import open_workdir\n"
        "from jreid.config_files import load\n"
        "with open_workdir(sys.argv[1], load('demo')): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with open_workdir(tmp_path, load("demo")):
        second = subprocess.run(command, capture_output=True, text=True)
    assert (
        f"{tmp_path} is in use by another run (process {os.getpid()}" in second.stderr
    )
    assert subprocess.run(command).returncode == 0, "the lock outlived its run"


def test_a_workdir_that_is_not_shared_is_refused(tmp_path):
    with open_workdir(tmp_path / "here", load("demo")):
        require_shared(tmp_path / "here")
    with pytest.raises(FileNotFoundError, match="there/config.json.* all hosts share"):
        require_shared(tmp_path / "there")


def test_workdir_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="cannot write to .*file/run"),
        open_workdir(tmp_path / "file" / "run", load("demo")),
    ):
        pass
    with pytest.raises(FileNotFoundError, match="give the --workdir of a run"):
        read_config(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"na')
    with pytest.raises(ValueError, match="config.json is damaged"):
        read_config(tmp_path)
