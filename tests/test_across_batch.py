"""Terms, memories and a graph look across a batch: alike on one, two, four devices."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import on_devices
import pytest
from flax import nnx

from jreid.models.graph_attention import GraphAttention
from jreid.training.objective import make_objective

pytestmark = pytest.mark.slow

ROWS = 8  # of each view, which four devices share
# pgm's are those of clusters, with its memory's update; the next three's have centres,
# the others' are their players', but ddag's
SYSTEMS = ("pgm", "mpanet", "saai", "pdm", "ddag", "hicmd", "jsia")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("devices")
    on_devices.start(__file__, folder)
    return folder


@pytest.mark.parametrize("name", [*SYSTEMS, "graph"])
def test_the_number_of_devices_changes_nothing(name, written):
    on_devices.check(written / f"{name}.json")


def terms_of(name):
    """Rows and made-up outputs; and of all terms the slopes, values and memory."""
    config = narrow.narrow(name)
    rows = narrow.rows_of(config)
    fixed = {key: rows.pop(key) for key in ("step", "epoch", "extra")}
    objective = make_objective(narrow.terms_of(config))

    def numbers(outputs, rows):
        rows = rows | fixed
        slopes, found = jax.grad(objective, has_aux=True)(outputs, rows)
        if name == "pgm":
            return slopes, found, config.memory.update(rows["extra"], outputs, rows, {})
        return slopes, found

    return (narrow.outputs_of(config, rows), rows), jax.jit(numbers)


def graph():
    """DDAG's graph on random rows of which two and two show one person."""
    made = GraphAttention(heads=2, features=4, dropout=0.0)
    network = made.make(narrow.WIDTH, narrow.CLASSES, nnx.Rngs(0))
    structure, params = nnx.split(network)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * ROWS, narrow.WIDTH)).astype(np.float32)
    ids = rng.permutation(np.arange(2 * ROWS) // 2 % 5)

    def numbers(x, ids):
        def loss(params, x):
            scores = nnx.merge(structure, params)(x, ids)
            return jnp.sum(jnp.square(scores)), {"scores": jnp.sum(scores)}

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    return (x, ids), jax.jit(numbers)


def main():
    """What each system gives, in the folder."""
    (folder,) = map(pathlib.Path, sys.argv[1:])
    narrow.IDS = ROWS // 2
    for name in (*SYSTEMS, "graph"):
        sharded, function = graph() if name == "graph" else terms_of(name)
        on_devices.write(folder / f"{name}.json", function, (), sharded)


if __name__ == "__main__":
    main()
