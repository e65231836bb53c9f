"""SIGKILL at random moments: what is resumed ends as if nothing had happened.

The moments are drawn anew each time. JREID_KILLS=20 kills twenty times instead of once
each: JREID_LONG_TESTS=1 python -m pytest tests/test_kill.py
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from test_train import (
    ROOT,
    assert_same_state,
    metrics,
    tiny_config,
    tree,  # noqa: F401  (a fixture)
)

from jreid.checkpoint import Checkpoints
from jreid.config import as_dict

KILLS = int(os.environ.get("JREID_KILLS", "1"))
PATIENCE = 300  # seconds
STEPS = 20

pytestmark = pytest.mark.long


def wait_for(happened, process) -> bool:
    """Whether it happened before the process ended by itself."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.0005)
    return True


def kill(process) -> bool:
    """Whether it was alive until it was killed."""
    process.kill()
    process.communicate()
    return process.returncode == -9


def being_written(folder: pathlib.Path) -> bool:
    return any("tmp" in path.name for path in folder.glob("*"))


def wait_for_moment(moment, workdir, process, draw) -> bool:
    """Waits until the process is to be killed; whether it still runs."""
    if moment == "at any moment":
        # Mostly while it trains, at times before: it reads images, it compiles.
        alive = wait_for((workdir / "lock").exists, process)
        before = lines(workdir)
        if alive and draw.random() < 0.8:
            alive = wait_for(lambda: lines(workdir) != before, process)
        time.sleep(draw.uniform(0, 1))
        return alive
    folder = workdir / "checkpoints"
    # What the last kill left is cleaned up first; then up to three checkpoints pass.
    alive = wait_for(lambda: not being_written(folder), process)
    for _ in range(draw.randrange(4)):
        alive = alive and wait_for(lambda: being_written(folder), process)
        alive = alive and wait_for(lambda: not being_written(folder), process)
    alive = alive and wait_for(lambda: being_written(folder), process)
    time.sleep(draw.uniform(0, 0.05))
    return alive


def start(script, workdir, cache) -> subprocess.Popen:
    """The program, with a compilation cache of its own: a kill may damage that too."""
    options = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "jreid.train", f"--config={script}"]
        + [f"--workdir={workdir}"],
        cwd=ROOT,
        env=os.environ | options,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("moment", ["at any moment", "while a checkpoint is written"])
def test_a_run_killed_again_and_again_ends_bit_identical(tree, tmp_path, moment):  # noqa: F811
    config = tiny_config(tree)
    config.optim.epochs, config.evaluation.rerank = STEPS // 2, False
    script = tmp_path / "config.py"
    values = json.dumps(as_dict(config))
    script.write_text(
        "import json\nfrom jreid.config import config_from_dict\n"
        f"def get_config():\n    return config_from_dict(json.loads({values!r}))\n"
    )
    whole = start(script, tmp_path / "whole", tmp_path / "cache")
    error = whole.communicate()[1]
    assert whole.returncode == 0, error
    draw = random.Random()
    kills, finished, steps = 0, 0, []
    workdir = tmp_path / "run-0"
    while kills < KILLS or not finished:
        process = start(script, workdir, tmp_path / "cache")
        alive = kills < KILLS and wait_for_moment(moment, workdir, process, draw)
        if alive and kill(process):
            kills += 1
            steps.append(lines(workdir))
            continue
        _, error = process.communicate()
        assert process.returncode == 0, error
        assert_same_state(workdir, tmp_path / "whole")
        assert [line["step"] for line in metrics(workdir)] == [*range(1, STEPS + 1)]
        finished += 1
        workdir = tmp_path / f"run-{finished}"
    print(f"{kills} kills {moment}, after the steps {steps}; {finished} runs finished")


def lines(workdir: pathlib.Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


WRITER = """
import sys, jax.numpy as jnp
from jreid.checkpoint import Checkpoints
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
        assert wait_for((tmp_path / str(before + 2)).exists, process)
        assert wait_for(lambda: being_written(tmp_path), process)
        time.sleep(draw.uniform(0, 0.1))
        assert kill(process)
        cut += being_written(tmp_path)
        with Checkpoints(tmp_path) as checkpoints:
            step = checkpoints.latest_step()
            assert step is not None and step >= before + 2
            like = {str(n): np.zeros(500_000, np.int32) for n in range(8)}
            for name, array in checkpoints.restore(like).items():
                assert (array == 1000 * int(name) + step).all()
        assert not being_written(tmp_path)
    print(f"{cut} of {KILLS} kills came while a checkpoint was written")
