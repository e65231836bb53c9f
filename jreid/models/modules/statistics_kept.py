"""Running statistics that a turn leaves to another one, in which they move."""

from collections.abc import Iterator
from contextlib import contextmanager

from flax import nnx


@contextmanager
def statistics_kept(module: nnx.Module) -> Iterator[None]:
    """What is computed within leaves the module's running statistics as they were."""
    found = [v for _, v in nnx.iter_graph(module) if isinstance(v, nnx.BatchStat)]
    before = [v[...] for v in found]
    yield
    for variable, value in zip(found, before, strict=True):
        variable.set_value(value)
