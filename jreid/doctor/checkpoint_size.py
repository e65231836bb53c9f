"""The size of a run's checkpoint: `python -m jreid.doctor.checkpoint_size CONFIG`.

A program of its own, which may fail with JAX; CONFIG is a part's JSON.
"""

import json
import os
import subprocess
import sys

import numpy as np


def checkpoint_size(config_json: str, seconds: float = 180) -> float | None:
    """GB of a checkpoint of a config, from the shapes of its state; None: not known."""
    command = [sys.executable, "-m", "jreid.doctor.checkpoint_size", config_json]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment
        )
        return float(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def main(config_json: str) -> None:
    """Prints the number of GB."""
    import jax

    from jreid.config_json import from_json
    from jreid.processes.sharding import data_mesh
    from jreid.training.build import build_system, classes_of
    from jreid.training.plan import plan
    from jreid.training.training_images import training_images

    config = from_json(json.loads(config_json))
    train = training_images(config, config.data.read())
    classes = classes_of(config, len(np.unique(train.ids)))
    system = build_system(config, classes, plan(config, train), data_mesh())
    state = jax.eval_shape(lambda: system.init(config.seed))
    leaves = (leaf for leaf in jax.tree.leaves(state) if hasattr(leaf, "dtype"))
    bytes_ = sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in leaves)
    print(bytes_ / 1e9)


if __name__ == "__main__":
    main(sys.argv[1])
