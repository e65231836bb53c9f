"""Embedding jobs on a Ray cluster of two nodes, both of them on this machine."""

import functools
import os
import signal
import sys
import threading
import time

import pytest
from stub_network import SIZE, Stub

from jreid.data.datasets import MODALITY_NAMES
from jreid.run import ray_embedding
from jreid.run.embedding_batches import embed_shards
from jreid.run.embedding_shards import finish_job, missing_shards, write_shard
from jreid.run.image_list import index_list
from jreid.run.ray_embedding import embed_by_ray, joined, workers_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
    # Ray forks, which JAX, imported by another file's tests, warns of.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]
STORE = 80 * 1024**2  # bytes, about the least that Ray takes
LINES = [
    f"{'bad' if n % 29 == 0 else 'img'}{n}.jpg\t{MODALITY_NAMES[n % 3 == 0]}\n"
    for n in range(200)
]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="needs Ray: pip install 'jreid[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_worker_niceness", "0")  # 15 by default: slow beside others
        patched.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers' stubs
        node = {"num_cpus": 1, "object_store_memory": STORE}
        head = node | {"include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def second(cluster):
    """Another node, which a test may remove."""
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "list.txt").write_text("".join(LINES))
    return index_list(tmp_path / "list.txt", root=tmp_path, shard_size=64)


def files_of(out, images, shards):
    out.mkdir(exist_ok=True)
    for shard, batches in shards:
        write_shard(out, images, shard, batches, size=SIZE)
    finish_job(out, images)
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


class Hanging(Stub):
    """The first one on a node says that it works on a batch, and never ends.

    Those on other nodes wait until then, so that it gets a batch.
    """

    def __init__(self, folder, node):
        super().__init__()
        self.folder, self.node = folder, node

    def embed(self, pixels, modality):
        import ray

        here = ray.get_runtime_context().get_node_id()
        if here == self.node and not (self.folder / "hanging").exists():
            (self.folder / "pid").write_text(str(os.getpid()))
            (self.folder / "pid").rename(self.folder / "hanging")
            time.sleep(600)
        while not (self.folder / "hanging").exists():
            time.sleep(0.1)
        return super().embed(pixels, modality)


@pytest.mark.long
@pytest.mark.parametrize("lost", ["worker", "node"])
def test_what_a_lost_worker_had_in_hand_is_done_again(
    cluster, second, images, tmp_path, monkeypatch, lost
):
    monkeypatch.setattr(ray_embedding, "IN_HAND", 8)  # many blocks, of two batches
    shards = missing_shards(tmp_path / "one", images)
    one = files_of(tmp_path / "one", images, embed_shards(images, shards, Stub()))
    assert len(one) == 4 + 3 + 1  # embeddings, errors of three shards, of all

    def lose():
        while not (hanging := tmp_path / "hanging").exists():
            time.sleep(0.1)
        if lost == "worker":
            os.kill(int(hanging.read_text()), signal.SIGKILL)
        else:
            cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    make = functools.partial(Hanging, tmp_path, second.node_id)
    with joined(cluster.address):
        found = embed_by_ray(make, images, shards, batch_size=4)
        assert files_of(tmp_path / "ray", images, found) == one
    killer.join(timeout=10)
    assert not killer.is_alive(), "nothing was lost"


class Broken(Stub):
    """A network that cannot be made."""

    def __init__(self):
        raise FileNotFoundError("no config.json in /shared/runs/sysu")


@pytest.mark.slow
def test_what_ends_a_worker_is_one_line(cluster, images):
    message = "worker of the Ray cluster failed: .*no config.json in /shared/runs/sysu"
    with joined(cluster.address), pytest.raises(OSError, match=message) as caught:
        list(embed_by_ray(Broken, images, [0], batch_size=4))
    assert len(str(caught.value).splitlines()) == 1


def test_workers_are_one_per_gpu_or_share_of_a_machine():
    def node(alive=True, **resources):
        return {"Alive": alive, "Resources": resources}

    gpus = [node(CPU=64.0, GPU=8.0), node(CPU=8.0, GPU=1.0), node(False, GPU=4.0)]
    assert workers_of(gpus) == (9, {"num_gpus": 1.0, "num_cpus": 0.0})
    cpus = [node(CPU=8.0), node(CPU=20.0), node(memory=1e9)]
    assert workers_of(cpus) == (3, {"num_cpus": 8.0})
    with pytest.raises(ValueError, match="neither a GPU nor a CPU"):
        workers_of([node(memory=1e9)])


def test_where_no_cluster_is_the_remedy_is_named():
    pytest.importorskip("ray", reason="needs Ray: pip install 'jreid[ray]'")
    with (
        pytest.raises(OSError, match="--ray is '127.0.0.1:1', and no Ray cluster"),
        joined("127.0.0.1:1"),
    ):
        pass


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    told = r"ray is not installed .*: pip install 'jreid\[ray\]'"
    with pytest.raises(ValueError, match=told), joined("local"):
        pass
