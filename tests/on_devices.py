"""Numbers of one function on one, two and four devices, in a process that has four."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np

from jreid.processes.sharding import data_mesh, to_devices

DEVICES = (1, 2, 4)


def start(file: str, folder: pathlib.Path) -> None:
    """Runs the file, which writes into the folder, where there are four devices."""
    here = pathlib.Path(file)
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(here.parents[1])}
    command = [sys.executable, here.name, str(folder)]
    subprocess.run(command, check=True, env=environment, cwd=here.parent)


def write(path, function, given, sharded):
    """What the function gives on each number of devices, as JSON.

    Args:
      function: gives gradients, scalars by name and, if it has any, statistics.
      given, sharded: its arguments; the rows of the latter are divided.
    """
    found = []
    for count in DEVICES:
        shares = to_devices(sharded, data_mesh(jax.devices()[:count]))
        assert {len(x.devices()) for x in jax.tree.leaves(shares)} == {count}
        found.append(numbers_of(*jax.device_get(function(*given, *shares))))
    path.write_text(json.dumps(found))


def numbers_of(grads, scalars, stats=None):
    """Scalars, the norm of each gradient over the largest one's, sums of statistics."""
    norms = {path: np.linalg.norm(leaf) for path, leaf in named(grads)}
    largest = max(norms.values(), default=0)
    numbers = {f"gradient/{path}": norm / largest for path, norm in norms.items()}
    numbers |= {f"statistics/{path}": np.sum(leaf) for path, leaf in named(stats)}
    return {path: float(x) for path, x in (numbers | scalars).items()}


def named(tree):
    """The tree's leaves with their paths."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def check(path: pathlib.Path) -> None:
    """What was written for two and four devices is what one gives."""
    alone, *others = json.loads(path.read_text())
    assert len(others) == len(DEVICES) - 1
    for numbers in others:
        assert numbers.keys() == alone.keys()
        for key, value in alone.items():
            np.testing.assert_allclose(
                numbers[key], value, rtol=5e-4, atol=1e-5, err_msg=key
            )
