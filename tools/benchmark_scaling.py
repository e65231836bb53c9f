"""One CPU core against two of one machine: the model of docs/scaling.md, checked.

    python tools/benchmark_scaling.py --config configs/demo.py

Each "device" is a process held to a core of its own; two of them talk over loopback, as
two machines would. Measured are the training step on one (C, and its share of the batch
alone), an all-reduce of the gradients' size (S / B), a small one (L), and the step on
two, which the model predicts; the least and the median of several calls. Where other
programs run, two processes wait for each other's turns, and only the median shows it.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tools.config_argument import read_config  # noqa: E402

SMALL = 50  # all-reduces in a row


def main(argv: list[str]) -> int:
    """Measures in subprocesses and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", type=int, default=20, help="of each kind (20)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args(argv)
    if given.child:
        work(json.loads(given.child), rest)
        return 0
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("error: two cores are needed, but only one may be used")
    options = {"steps": given.steps, "rest": rest}
    whole = run([cores[0]], share=1, **options)
    half = run([cores[0]], share=2, **options)
    both = run(cores, share=1, **options)
    count = both["collectives"]
    print(f"gradients: {both['bytes'] / 1e6:.1f} MB; images: {whole['images']}")
    print(f"{'milliseconds':52} {'least':>9} {'median':>9}")
    rows = {
        "C: a step on one core": lambda i: whole["step"][i],
        "half its batch on one core": lambda i: half["step"][i],
        "S / B: all-reduce of the gradients": lambda i: both["reduce"][i],
        "L: a small all-reduce": lambda i: both["small"][i] / SMALL,
        f"predicted for two, C / 2 + S / B + {count} L": lambda i: (
            whole["step"][i] / 2 + both["reduce"][i] + count * both["small"][i] / SMALL
        ),
        "the same with the half batch's time for C / 2": lambda i: (
            half["step"][i] + both["reduce"][i] + count * both["small"][i] / SMALL
        ),
        "measured on two": lambda i: both["step"][i],
    }
    for name, seconds in rows.items():
        print(f"{name:52} {1000 * seconds(0):9.2f} {1000 * seconds(1):9.2f}")
    return 0


def run(cores: list[int], share: int, steps: int, rest: list[str]) -> dict:
    """The measurements of process 0 of as many as there are cores."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}" if len(cores) > 1 else ""
    running = []
    for process, core in enumerate(cores):
        job = {"core": core, "share": share, "steps": steps, "process": process}
        job |= {"coordinator": coordinator, "processes": len(cores)}
        command = [sys.executable, __file__, "--child", json.dumps(job), *rest]
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        )
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("error: a process failed, see above")
    return json.loads(outputs[0].splitlines()[-1])


def work(job: dict, rest: list[str]) -> None:
    """One process: measures, and prints what it found as JSON."""
    os.sched_setaffinity(0, {job["core"]})  # before JAX makes its threads
    config, _ = read_config(rest, default="configs/demo.py")
    from jreid.processes import distributed

    with distributed.joined(job["coordinator"], job["processes"], job["process"], 60.0):
        config.data.identities //= job["share"]
        print(json.dumps(measure(config, job["steps"])))


def measure(config, steps: int) -> dict:
    """Seconds of a step, and of the two all-reduces, on all devices there are."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from jreid import system
    from jreid.processes.distributed import own_rows, to_devices
    from jreid.training.learner import (
        data_mesh,
        init_state,
        make_train_step,
        network_structure,
    )

    mesh, slots = data_mesh(), system.slots(config)
    make_network = partial(system.make_network, config, 200)
    tx = system.build_tx(config, system.build_schedule(config, 10))
    state = init_state(make_network, tx, 0, mesh)
    bytes_ = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    own, rng = own_rows(mesh, slots), np.random.default_rng(0)
    shape = (slots, 2, config.data.height, config.data.width, 3)
    ids = np.repeat(np.arange(config.data.identities), config.data.images_per_identity)
    batch = {
        "images": rng.integers(0, 256, shape, np.uint8)[own],
        "ids": np.stack([ids, ids], axis=1).astype(np.int32)[own],
        "modality": np.tile(np.arange(2, dtype=np.int32), (slots, 1))[own],
    }
    placed = to_devices(batch, mesh, slots)
    step = make_train_step(
        network_structure(make_network)[0],
        system.build_objective(config),
        tx,
        system.STREAMS,
    )
    program = step.lower(state, placed).compile().as_text()
    collectives = len(re.findall(r" all-(?:reduce|gather)(?:-start)?\(", program))

    def train():
        nonlocal state
        state, scalars = step(state, placed)
        return scalars

    devices = mesh.devices.size
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())

    def ones(count: int):
        make = jax.jit(lambda: jnp.ones((devices, count)), out_shardings=sharded)
        return make()

    total = jax.jit(lambda x: x.sum(0), out_shardings=replicated)
    gradients, few = ones(bytes_ // 4), ones(256)

    @jax.jit
    def chain(x):
        return jax.lax.fori_loop(0, SMALL, lambda _, x: x + 1e-9 * x.sum(0), x)

    return {
        "images": 2 * slots,
        "bytes": bytes_,
        "collectives": collectives,
        "step": timed(train, steps),
        "reduce": timed(lambda: total(gradients), steps),
        "small": timed(lambda: chain(few), steps),
    }


def timed(call: Callable[[], object], times: int) -> tuple[float, float]:
    """Least and median seconds of a call, the first left out."""
    import jax

    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]), statistics.median(seconds[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
