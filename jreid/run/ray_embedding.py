"""An embedding job on a Ray cluster (https://docs.ray.io/en/latest/data/data.html).

Ray Data's `map_batches` gives the job's batches to one actor per accelerator. Queue,
scheduling, and doing again what a lost worker had in hand are Ray's. Workers see the
run, the list and the images under the same paths as this process, which alone writes.
"""

import contextlib
import dataclasses
import itertools
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jreid.data.quiet import quieten_tensorflow
from jreid.extra import library
from jreid.run.embedding_batches import Embeds, Shard, batches_of, embed_batches
from jreid.run.image_list import ImageList

IN_HAND = 1024  # images that a lost worker's successor does again, at most


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Joins a Ray cluster until the block is left.

    Args:
        address: "auto" for the one at hand, "local" for a new one on this machine.

    Raises ValueError without Ray, OSError where no cluster is found.
    """
    ray = library("ray", "ray")
    library("ray.data", "ray")  # of Ray's parts the one that is used
    # What Ray says of bars, of its success, and of how it makes actors.
    for name in ("progress", "execution.streaming_executor"):
        logging.getLogger(f"ray.data._internal.{name}").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options["include_dashboard"] = False
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdecimal():  # Ray would try for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address, **options)
    except OSError as error:
        raise OSError(
            f"--ray is {address!r}, and no Ray cluster is there ({error}). Start one "
            "(ray start --head), give its address, or --ray local for this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def embed_by_ray(
    make_network: Callable[[], Embeds],
    images: ImageList,
    shards: Sequence[int],
    batch_size: int,
) -> Iterator[Shard]:
    """The shards, each with its batches, in their order, from the cluster joined.

    The batches are those of one process, padded to the same size, so that on the same
    kind of device the vectors are the same to the bit.

    Args:
        make_network: called by each worker; its result, like the images, must not
            depend on the worker.
        images, shards: the list, and which parts of it.
        batch_size: of the network.

    Raises OSError with what a worker has raised.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    # Workers have working directories of their own.
    images = dataclasses.replace(
        images, file=images.file.absolute(), root=images.root.absolute()
    )
    rows = [
        {"shard": shard, "batch": batch}
        for shard in shards
        for batch in range(len(batches_of(images.rows(shard), images.root, batch_size)))
    ]
    workers, needs = workers_of(ray.nodes())
    context = DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    per_block = max(1, IN_HAND // batch_size)
    with DataContext.current(context):
        blocks = min(len(rows), max(workers, -(-len(rows) // per_block)))
        embedded = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Worker,
            fn_constructor_args=(make_network, images),
            batch_size=None,
            compute=ActorPoolStrategy(
                min_size=1,
                max_size=workers,
                initial_size=min(workers, blocks),
                max_tasks_in_flight_per_actor=2,  # one of them waits
            ),
            **needs,
        )
        rows = _told(embedded.iter_rows())
        for shard, found in itertools.groupby(rows, key=lambda row: row["shard"]):
            yield shard, (row["embedded"] for row in found)


def _told(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows; what ends a worker is one line, for the rest is Ray's own frames."""
    from ray.exceptions import RayError

    try:
        yield from rows
    except RayError as error:
        why = str(error).strip().splitlines()[-1]
        raise OSError(
            f"a worker of the Ray cluster failed: {why}. What is embedded is kept; "
            "--traceback shows where it failed"
        ) from error


def workers_of(nodes: Sequence[Mapping[str, Any]]) -> tuple[int, dict[str, Any]]:
    """How many workers a cluster has room for, and what each of them takes of it.

    One per GPU; without any, one per machine, for JAX uses all cores of a CPU: of
    different machines, the larger get one for every share that the smallest has.

    Args:
        nodes: of `ray.nodes()`.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if gpus := int(sum(node.get("GPU", 0) for node in alive)):
        return gpus, {"num_gpus": 1.0, "num_cpus": 0.0}
    cores = [node["CPU"] for node in alive if node.get("CPU", 0) >= 1]
    if not cores:
        raise ValueError("the Ray cluster has neither a GPU nor a CPU to work on")
    return int(sum(core // min(cores) for core in cores)), {"num_cpus": min(cores)}


class _Worker:
    """An actor of Ray Data's: numbers of batches to embedded batches."""

    def __init__(self, make_network: Callable[[], Embeds], images: ImageList):
        quieten_tensorflow()
        self._images, self._network = images, make_network()

    def __call__(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        images, network = self._images, self._network
        listed = {
            shard: batches_of(images.rows(shard), images.root, network.batch_size)
            for shard in set(rows["shard"].tolist())
        }
        places = zip(rows["shard"].tolist(), rows["batch"].tolist(), strict=True)
        batches = [listed[shard][batch] for shard, batch in places]
        embedded = np.empty(len(batches), object)
        for number, batch in enumerate(embed_batches(batches, network)):
            embedded[number] = batch
        return {"shard": rows["shard"], "embedded": embedded}
