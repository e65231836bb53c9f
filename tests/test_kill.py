"""SIGKILL at random moments: what is resumed ends as if nothing had happened.

Of two processes either is killed; the other has to end at once and to name it.

The moments are drawn anew each time. JREID_KILLS=20 kills twenty times instead of once
each: JREID_LONG_TESTS=1 python -m pytest tests/test_kill.py
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny

from jreid.config_json import to_json
from jreid.run.checkpoint import Checkpoints

ROOT = pathlib.Path(__file__).parent.parent
KILLS = int(os.environ.get("JREID_KILLS", "1"))
PATIENCE = 900  # seconds
AT_ONCE = 60  # seconds
STEPS = 20

pytestmark = pytest.mark.long


def wait_for(happened, running) -> bool:
    """Whether it happened before a process ended by itself."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if any(process.poll() is not None for process in running):
            return False
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.0005)
    return True


def kill(process) -> bool:
    """Whether it was alive until it was killed."""
    process.kill()
    process.communicate()
    return process.returncode == -9


def seconds_until_the_others_end(running, lost) -> float:
    """After `running[lost]` was killed; they must say so, and quickly."""
    start = time.monotonic()
    for process in running:
        if process is not running[lost]:
            try:
                error = process.communicate(timeout=AT_ONCE)[1]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGSEGV)  # Python says where it is
                raise AssertionError(process.communicate()[1]) from None
            assert process.returncode == 2, error
            name = f"process {lost} (of 0 to 1) on host {os.uname().nodename} is lost"
            assert f"error: {name}" in error and "Traceback" not in error, error
    return time.monotonic() - start


def being_written(folder: pathlib.Path) -> bool:
    return any("tmp" in path.name for path in folder.glob("*"))


def wait_for_moment(moment, workdir, running, draw) -> bool:
    """Waits until one is to be killed; whether all still run."""
    if moment == "at any moment":
        # Mostly while it trains, at times before: it reads images, it compiles.
        alive = wait_for((workdir / "lock").exists, running)
        before = lines(workdir)
        if alive and draw.random() < 0.8:
            alive = wait_for(lambda: lines(workdir) != before, running)
        time.sleep(draw.uniform(0, 1))
        return alive
    folder = workdir / "checkpoints"
    # What the last kill left is cleaned up first; then up to three checkpoints pass.
    alive = wait_for(lambda: not being_written(folder), running)
    for _ in range(draw.randrange(4)):
        alive = alive and wait_for(lambda: being_written(folder), running)
        alive = alive and wait_for(lambda: not being_written(folder), running)
    alive = alive and wait_for(lambda: being_written(folder), running)
    time.sleep(draw.uniform(0, 0.05))
    return alive


def start(script, workdir, cache, processes) -> list[subprocess.Popen]:
    """The program, with a compilation cache of its own: a kill may damage that too."""
    options = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_NUM_CPU_DEVICES": str(processes),
        "PYTHONFAULTHANDLER": "1",
    }
    command = [sys.executable, "-m", "jreid.train", f"--config={script}"]
    command.append(f"--workdir={workdir}")
    if processes > 1:
        with socket.create_server(("127.0.0.1", 0)) as free:
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        command.append(f"--config.distributed.coordinator={coordinator}")
        command.append(f"--config.distributed.processes={processes}")
    return [
        subprocess.Popen(
            [*command, f"--config.distributed.process={number}"],
            cwd=ROOT,
            env=os.environ | options,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def assert_finished(running) -> None:
    for process in running:
        error = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, error


def write_config(root, script) -> None:
    config = tiny.tiny_config(root)
    config.sampling.images = 4  # a multiple of the devices
    config.schedule.epochs, config.evaluation.rerank = STEPS // 2, False
    values = json.dumps(to_json(config))
    script.write_text(
        "import json\nfrom jreid.config_json import from_json\n"
        f"def get_config():\n    return from_json(json.loads({values!r}))\n"
    )


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("moment", ["at any moment", "while a checkpoint is written"])
def test_a_run_killed_again_and_again_ends_bit_identical(tmp_path, moment, processes):
    tree = tiny.make_tree(tmp_path / "tree")
    script, cache = tmp_path / "config.py", tmp_path / "cache"
    write_config(tree, script)
    assert_finished(start(script, tmp_path / "whole", cache, processes))
    draw = random.Random()
    kills, finished, steps, waits = 0, 0, [], []
    workdir = tmp_path / "run-0"
    while kills < KILLS or not finished:
        # Until process 0 has taken it again, the others wait for it to join.
        (workdir / "lock").unlink(missing_ok=True)
        running = start(script, workdir, cache, processes)
        lost = draw.randrange(processes)
        alive = kills < KILLS and wait_for_moment(moment, workdir, running, draw)
        if alive and kill(running[lost]):
            kills += 1
            steps.append(lines(workdir))
            waits.append(seconds_until_the_others_end(running, lost))
            continue
        assert_finished(running)
        tiny.assert_same_state(workdir, tmp_path / "whole")
        told = [line["step"] for line in tiny.metrics(workdir)]
        assert told == [*range(1, STEPS + 1)]
        finished += 1
        workdir = tmp_path / f"run-{finished}"
    print(f"{kills} kills {moment}, after the steps {steps}; {finished} runs finished")
    print(f"the others ended within {max(waits):.1f} s")


def lines(workdir: pathlib.Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


WRITER = """
import sys, jax.numpy as jnp
from jreid import parts
from jreid.run.checkpoint import Checkpoints
with Checkpoints(sys.argv[1]) as checkpoints:
    step = checkpoints.latest_step() or 0
    while True:
        step += 1
        values = {str(n): jnp.full((500_000,), 1000 * n + step) for n in range(8)}
        checkpoints.save(step, values)
"""


def test_a_checkpoint_killed_while_written_is_never_taken(tmp_path):
    draw = random.Random()
    tmp_path = tmp_path / "checkpoints"
    cut, step = 0, None
    for _ in range(KILLS):
        before = step or 0
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        assert wait_for((tmp_path / str(before + 2)).exists, [process])
        assert wait_for(lambda: being_written(tmp_path), [process])
        time.sleep(draw.uniform(0, 0.1))
        assert kill(process)
        cut += being_written(tmp_path)
        with Checkpoints(tmp_path) as checkpoints:
            step = checkpoints.latest_step()
            assert step is not None and step >= before + 2
            like = {str(n): np.zeros(500_000, np.int32) for n in range(8)}
            for name, array in checkpoints.restore(like).items():
                assert (array == 1000 * int(name) + step).all()
        # Orbax cleans up in a thread, for which only the next save waits.
        assert wait_for(lambda: not being_written(tmp_path), [])
    print(f"{cut} of {KILLS} kills came while a checkpoint was written")
