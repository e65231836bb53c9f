"""One CPU core against two of one machine: the model of docs/scaling.md, checked.

    python tools/benchmark_scaling.py --config demo

Each "device" is a process held to a core of its own; two of them talk over loopback, as
two machines would. Measured are the training step on one (C, and its share of the batch
alone), an all-reduce of the gradients' size (S / B), a small one (L), and the step on
two, which the model predicts; the least and the median of several calls. Where other
programs run, two processes wait for each other's turns, and only the median shows it.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jreid import command_line, ending  # noqa: E402
from jreid.config import Config  # noqa: E402
from jreid.data.sampling import PerModality  # noqa: E402
from tools.throughput.case import check_comparable, noise  # noqa: E402

SMALL = 50  # all-reduces in a row
CLASSES = 200


@dataclass(slots=True)
class Options:
    """How much is measured."""

    steps: int = 20
    """Of each kind."""


parse = partial(
    command_line.parse_with_config,
    Options,
    "python tools/benchmark_scaling.py",
    description=str(__doc__),
    default="demo",
)


def main(arguments: list[str]) -> int:
    """The exit code: 2 for what is refused, or where a process failed."""
    if arguments[:1] == ["--child"]:
        return ending.exit_code(work, arguments[1:])
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> None:
    """Measures in subprocesses and prints a table."""
    given = parse(arguments)
    check(given.config, given.options)
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise ValueError("two cores are needed, but only one may be used")
    options = {"steps": given.options.steps, "words": given.words}
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


def check(config: Config, options: Options) -> None:
    """Raises ValueError where no half of a batch could be measured."""
    if options.steps < 1:
        raise ValueError(f"--steps is {options.steps}; allowed is 1 and more")
    check_comparable(config)
    sampling = config.sampling
    if not isinstance(sampling, PerModality) or sampling.identities % 2:
        raise ValueError(
            f"config.sampling is {sampling!r}; give PerModality with an even number of "
            "identities: two processes share a batch, and half of it is measured alone"
        )


def run(cores: list[int], share: int, steps: int, words: list[str]) -> dict:
    """The measurements of process 0 of as many as there are cores."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}" if len(cores) > 1 else ""
    running = []
    for process, core in enumerate(cores):
        job = {"core": core, "share": share, "steps": steps, "process": process}
        job |= {"coordinator": coordinator, "processes": len(cores)}
        command = [sys.executable, __file__, "--child", json.dumps(job), *words]
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        )
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise ValueError("a process failed, see above")
    return json.loads(outputs[0].splitlines()[-1])


def work(arguments: list[str]) -> None:
    """One process: measures, and prints what it found as JSON."""
    job, config = json.loads(arguments[0]), parse(arguments[1:]).config
    os.sched_setaffinity(0, {job["core"]})  # before JAX makes its threads
    from jreid.processes import distributed

    with distributed.joined(job["coordinator"], job["processes"], job["process"], 60.0):
        config.sampling.identities //= job["share"]
        print(json.dumps(measure(config, job["steps"])))


def measure(config: Config, steps: int) -> dict:
    """Seconds of a step, and of the two all-reduces, on all devices there are."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from jreid.processes.sharding import data_mesh, own_rows, to_devices
    from jreid.training.build import build_system
    from jreid.training.plan import plan

    mesh = data_mesh()
    config.steps_per_epoch = 10
    system = build_system(config, CLASSES, plan(config, None), mesh)
    state = system.init(0)
    bytes_ = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    sampling = config.sampling
    count = sampling.identities * sampling.images  # of each of two views
    batch = noise(config.views, config.size, sampling.identities, sampling.images)
    own = own_rows(mesh, count)
    placed = to_devices(jax.tree.map(lambda rows: rows[own], batch), mesh)
    compiled = system.step.lower(state, placed).compile().as_text()
    collectives = len(re.findall(r" all-(?:reduce|gather)(?:-start)?\(", compiled))

    def train():
        nonlocal state
        state, scalars = system.step(state, placed)
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
        "images": 2 * count,
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
