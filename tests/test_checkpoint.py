"""Checkpoints: bit-exact, the last n, never a half-written or damaged one."""

import gc
import shutil
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from parameters import slow_but

from jreid.run.checkpoint import Checkpoints, resume
from jreid.training.adam_counts import counted_apart
from jreid.training.optimizers import Adam


class State(NamedTuple):
    params: dict
    stats: dict
    optimiser: optax.OptState
    step: jax.Array


def make_state(seed=0, width=300):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {
        "trunk": {0: {"kernel": jax.random.normal(keys[0], (width, width))}},
        "neck": {"scale": jax.random.normal(keys[1], (7,), jnp.bfloat16)},
    }
    tx = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, momentum=0.9))
    optimiser = tx.init(params)
    # Values that a careless round trip would change.
    odd = jnp.array([jnp.nan, -0.0, jnp.inf, 1e-42], jnp.float32)
    stats = {"odd": odd, "seen": jnp.arange(5), "flags": jnp.array([True, False])}
    return State(params, stats, optimiser, jnp.int32(seed))


def same_bits(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_a_checkpoint_of_one_count_says_so_where_each_parameter_has_its_own(tmp_path):
    params = {"trunk": {"kernel": jnp.ones(2)}}
    once = Adam().make(lambda step: 1.0).init(params)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(3, {"opt_state": once})
        checkpoints.wait()
        with pytest.raises(ValueError, match="step 3 .* one opt_state/1/count of upd"):
            checkpoints.restore({"opt_state": counted_apart(once)})
        same_bits(checkpoints.restore({"opt_state": once}), {"opt_state": once})


@pytest.fixture
def collected():
    """What the test leaves is collected here, not in some later test."""
    yield
    gc.collect()


def abandoning(test):
    """Orbax abandons the other arrays when it meets a damaged one, and then warns."""
    ignore = "ignore::pytest.PytestUnraisableExceptionWarning"
    return pytest.mark.filterwarnings(ignore)(
        pytest.mark.usefixtures("collected")(test)
    )


def test_round_trip_is_bit_exact(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() is None
        checkpoints.save(3, state)
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, state))
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
        )
        same_bits(checkpoints.restore(abstract, step=3), state)
    same_bits(restored, state)
    assert isinstance(restored, State)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored))


def test_part_of_the_state_can_be_read(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        part = checkpoints.restore({"params": state.params, "stats": state.stats})
        same_bits(part, {"params": state.params, "stats": state.stats})
        with pytest.raises(ValueError, match="params/neck/scale.*not here"):
            checkpoints.restore({"params": {"trunk": state.params["trunk"]}})


def test_state_may_be_donated_while_it_is_written(tmp_path):
    state = make_state(width=2000)
    expected = jax.tree.map(lambda x: np.array(x), state)
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + x, s), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        jax.block_until_ready(step(step(state)))
        same_bits(checkpoints.restore(expected), expected)


def test_the_newest_n_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 10):
            checkpoints.save(step, make_state(step, width=3))
        checkpoints.wait()
        assert checkpoints.steps() == [3, 10] and checkpoints.latest_step() == 10
        with pytest.raises(ValueError, match="step 10 is saved already"):
            checkpoints.save(10, make_state())
        assert checkpoints.discard_after(3) == [10]
        assert checkpoints.latest_step() == 3
        checkpoints.save(10, make_state(width=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "3"]


def test_state_of_another_network_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(width=3))
        with pytest.raises(ValueError, match=r"trunk/0/kernel: float32\[4, 4\] here"):
            checkpoints.restore(make_state(width=4))
        other = make_state(width=3)._replace(stats={"new": jnp.zeros(2)})
        with pytest.raises(ValueError, match="stats/new: not in the checkpoint"):
            checkpoints.restore(other)


def test_leaves_that_cannot_be_stored_are_named(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for leaf in (3.0, jax.random.key(0), jnp.zeros((0, 2))):
            with pytest.raises(ValueError, match="a/b"):
                checkpoints.save(1, {"a": {"b": leaf}})
        assert checkpoints.steps() == []


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of checkpoints"):
        Checkpoints(tmp_path / "none", read_only=True)
    with pytest.raises(ValueError, match="keep is 0"):
        Checkpoints(tmp_path, keep=0)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*there: \[\]"):
            checkpoints.restore(make_state())
        checkpoints.save(4, make_state(width=3))
        with pytest.raises(FileNotFoundError, match=r"of step 5 in .*there: \[4\]"):
            checkpoints.restore(make_state(width=3), step=5)
    reader = Checkpoints(tmp_path, read_only=True)
    with reader, pytest.raises(ValueError, match="opened to read"):
        reader.save(5, make_state())


def test_a_run_that_begins_again_deletes_what_it_had(tmp_path):
    with Checkpoints(tmp_path) as saved:
        for step in (2, 4):
            saved.save(step, make_state(step))
        saved.wait()
        state, step = resume(saved, "as it begins", 0)
        assert (state, step, saved.steps()) == ("as it begins", 0, [])
        saved.save(2, make_state())  # nothing is in its way
    with Checkpoints(tmp_path) as saved:
        assert resume(saved, make_state(1))[1] == 2


@pytest.mark.parametrize("step", [-1, 0])
def test_a_converted_network_is_not_trained_on_in_its_folder(tmp_path, step):
    with Checkpoints(tmp_path / "run" / "checkpoints") as saved:
        saved.save(0, {"params": {"x": jnp.ones(3)}})
        saved.wait()
        with pytest.raises(ValueError, match="run holds a converted .*--config.pretr"):
            resume(saved, make_state(), step)
        assert saved.steps() == [0]


@abandoning
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
@pytest.mark.parametrize("which", ["arrays", "leaves/metadata"])
def test_damaged_checkpoint_is_refused(tmp_path, damage, which):
    state = make_state()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        checkpoints.save(2, state)
    files = [path for path in (tmp_path / "2" / "state").rglob("d/*") if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    path = path if which == "arrays" else tmp_path / "2" / which
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            content if damage == "flipped" else content[: len(content) // 2]
        )
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError) as caught:
            checkpoints.restore(state)
        assert f"step 2 in {tmp_path} is damaged" in str(caught.value)
        assert "--config.checkpoint.step=" in str(caught.value)
        assert len(str(caught.value)) < 1000
        same_bits(checkpoints.restore(state, step=1), state)


def damaged(content, how):
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"flipped": flipped, "truncated": content[:middle], "empty": b""}[how]


@abandoning
@pytest.mark.parametrize(
    "how", slow_but(["flipped", "truncated", "empty", "missing"], quick=["flipped"])
)
def test_whichever_file_is_damaged_no_wrong_bit_is_read(tmp_path, how):
    """Some files are read by nobody; the other checkpoint is always there."""
    state = make_state(width=3)
    with Checkpoints(tmp_path / "whole") as checkpoints:
        checkpoints.save(1, state)
        checkpoints.save(2, state)
    files = sorted(path for path in (tmp_path / "whole/2").rglob("*") if path.is_file())
    refused = 0
    for number, path in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        target = folder / path.relative_to(tmp_path / "whole")
        if how == "missing":
            target.unlink()
        else:
            target.write_bytes(damaged(path.read_bytes(), how))
        with Checkpoints(folder) as checkpoints:
            try:
                same_bits(checkpoints.restore(state), state)
            except ValueError as error:
                assert f"step 2 in {folder} is damaged" in str(error)
                refused += 1
            same_bits(checkpoints.restore(state, step=1), state)
    assert refused >= 3  # the arrays, their list, the manifest


@abandoning
def test_damaged_metadata_of_orbax_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(width=3))
        checkpoints.wait()
        path = tmp_path / "1" / "state" / "_METADATA"
        path.write_text(path.read_text()[:100])
        with pytest.raises(ValueError, match=r"step 1 in .* is damaged: Orbax's files"):
            checkpoints.restore(make_state(width=3))


CHILD = """
import os, resource, signal, sys, time
import jax, jax.numpy as jnp
from jreid.run.checkpoint import Checkpoints

mode, folder = sys.argv[1:]
if mode == "restore":
    mesh = jax.make_mesh((4,), ("data",))
    spec = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    like = {"a": jax.ShapeDtypeStruct((4_000_000,), jnp.float32, sharding=spec)}
    with Checkpoints(folder, read_only=True) as checkpoints:
        restored = checkpoints.restore(like)["a"]
    assert len(restored.sharding.device_set) == 4 == len(restored.addressable_shards)
    sys.exit()
small = {"a": jnp.arange(4_000_000, dtype=jnp.float32)}
large = {"a": jax.random.normal(jax.random.key(0), (16_000_000,))}
checkpoints = Checkpoints(folder)
checkpoints.save(1, small)
checkpoints.wait()
if mode == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    try:
        checkpoints.save(2, large)
        checkpoints.close()
    except OSError as error:
        sys.exit(f"OSError: {error}")
else:
    checkpoints.save(2, large)
    while os.listdir(folder) == ["1"]:
        time.sleep(0.001)
    if "2" in os.listdir(folder):
        sys.exit("the save was complete too early for this test")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_child(mode, folder, **environment):
    command = [sys.executable, "-c", CHILD, mode, str(folder)]
    # Without the compilation cache: this process may die while writing to it.
    environment = {"JAX_ENABLE_COMPILATION_CACHE": "false", **environment}
    return subprocess.run(
        ["env", *(f"{k}={v}" for k, v in environment.items()), *command],
        capture_output=True,
        text=True,
    )


def restore_first(folder):
    expected = {"a": jnp.arange(4_000_000, dtype=jnp.float32)}
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps() == [1]
        same_bits(checkpoints.restore(expected), expected)


@pytest.mark.slow
def test_killed_while_writing(tmp_path):
    died = run_child("kill", tmp_path)
    assert died.returncode == -9, died.stderr
    assert len(list(tmp_path.iterdir())) == 2, "a half-written step is there"
    restore_first(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    moved = run_child("restore", tmp_path, JAX_NUM_CPU_DEVICES="4")
    assert moved.returncode == 0, moved.stderr


@pytest.mark.slow
def test_disk_full_while_writing(tmp_path):
    died = run_child("full", tmp_path)
    assert (
        f"OSError: cannot write the checkpoint of step 2 to {tmp_path}" in died.stderr
    )
    assert "Earlier checkpoints are intact" in died.stderr
    assert "Traceback" not in died.stderr
    restore_first(tmp_path)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot keep checkpoints in .*file/checkpoints"):
        Checkpoints(tmp_path / "file" / "checkpoints")


def test_no_tensorflow():
    code = "import sys, jreid.run.checkpoint; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_folder_vanishes_while_running(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, make_state(width=3))
    checkpoints.wait()
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(OSError, match="cannot write the checkpoint of step 2"):
        checkpoints.save(2, make_state(width=3))
    checkpoints.close()


NAMES = ("a[1]", "b\\c", "[!a]", "c*", "d?", "e{x}", "f'g", "h i", "gs:", "%s", "n\nl")


@pytest.mark.parametrize("name", NAMES)
def test_paths_that_look_like_patterns_hold_checkpoints(tmp_path, name):
    folder = tmp_path / name / "checkpoints"
    values = {"params": {"a": np.arange(3.0)}}
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"params": {"a": np.arange(3.0) + step}})
    (tmp_path / name).rename(tmp_path / "plain")
    with Checkpoints(tmp_path / "plain" / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps() == [2, 3]
        assert checkpoints.restore(values)["params"]["a"].tolist() == [3, 4, 5]
    (tmp_path / "plain").rename(tmp_path / name)
    with Checkpoints(folder, read_only=True) as checkpoints:
        assert checkpoints.restore(values, 2)["params"]["a"].tolist() == [2, 3, 4]
