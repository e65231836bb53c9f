"""HCML's metric: learned once, after the last step, and part of every later vector."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny
from flax import nnx

from jreid import parts, train
from jreid.config_files import load
from jreid.explanation import explain
from jreid.export import __main__ as export
from jreid.models.learned_metric import MetricTwoStream
from jreid.models.two_stream import Branch
from jreid.run import build
from jreid.run.trained import evaluate_run
from jreid.search.embedder import Embedder
from jreid.training import hcml
from jreid.training.after_training import (
    after_training,
    before_end,
    first_statistics,
)
from jreid.training.metric_learning import HCML
from jreid.training.schedules import Steps
from jreid.training.state import TrainState

pytestmark = pytest.mark.usefixtures("systems_built_once")


def tiny_hcml(tree):
    config = narrow.narrow("hcml")
    config.data.root = str(tree)
    config.size, config.sampling.pairs, config.optimizer.lr = (32, 16), 4, 1e-3
    config.network.trunk.stages, config.after_training.iterations = 2, 5
    config.steps_per_epoch, config.schedule.epochs = 1, 3
    config.log.every_steps = 1
    parts.check(config)
    return config


@pytest.mark.slow
@pytest.mark.long  # two runs and their embeddings
def test_a_run_stopped_before_the_metric_ends_with_the_same_bits(tmp_path, embedded):
    tree = tiny.make_tree(tmp_path / "tree")
    config = tiny_hcml(tree)
    assert train.train(config, tmp_path / "whole") == 0
    shorter = dataclasses.replace(config, steps=2)
    assert train.train(shorter, tmp_path / "resumed") == 0
    early = tiny.final_state(tmp_path / "resumed")
    assert train.train(config, tmp_path / "resumed") == 0
    tiny.assert_same_state(tmp_path / "whole", tmp_path / "resumed")
    late = tiny.final_state(tmp_path / "whole")
    names = [f"stats/metric/{name}" for name in ("mean", "visible", "infrared")]
    initial = (np.zeros(16), np.eye(16), np.eye(16))
    for name, value in zip(names, initial, strict=True):
        np.testing.assert_array_equal(early[name], value)
        assert np.abs(late[name] - value).max() > 1e-3
    # before it, vectors are TONE's; evaluating the stored run gives those of its end
    lengths = [np.linalg.norm(x["fused"], axis=1) for x in embedded]
    np.testing.assert_allclose(lengths[1], 1, rtol=1e-5)
    assert np.abs(lengths[0] - 1).max() > 1e-3
    evaluate_run(config, tmp_path / "whole")
    np.testing.assert_array_equal(embedded[-1]["fused"], embedded[0]["fused"])
    run = str(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"measure is 'euclidean'.*jreid.evaluate"):
        export.program(["--workdir", run, "--format", "onnx", "--out", f"{run}.onnx"])
    with pytest.raises(ValueError, match="measure is 'euclidean'"):
        Embedder.from_run(run)
    blank = np.zeros((32, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="MetricTwoStream .* cannot be explained"):
        explain(run, blank, "visible", blank, "infrared")


@pytest.mark.long  # a run, and one in three pieces
def test_a_run_killed_while_the_metric_is_learned_ends_bit_identical(
    tmp_path, embedded
):
    tree, killed = tiny.make_tree(tmp_path / "tree"), tmp_path / "killed"
    config = tiny_hcml(tree)
    assert train.train(config, tmp_path / "whole") == 0
    assert train.train(dataclasses.replace(config, steps=2), killed) == 0
    saved = tiny.final_state(killed)
    root = pathlib.Path(__file__).parent.parent
    process = subprocess.run(
        [sys.executable, __file__, str(tree), str(killed)],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    with np.load(killed / "moment.npz") as moment:  # the last step had been taken
        kernel = "params/branches/v1/classifier/kernel"
        assert (moment["kernel"] != saved[kernel]).any()
        assert (moment["metric"] != np.eye(len(moment["metric"]))).any()
    for name, array in tiny.final_state(killed).items():
        np.testing.assert_array_equal(array, saved[name])
    assert train.train(config, killed) == 0
    tiny.assert_same_state(tmp_path / "whole", killed)


def main():
    """Goes on with a run, and is killed within the metric's second iteration."""
    tree, folder = map(pathlib.Path, sys.argv[1:])
    step, before, metrics, states = hcml.Fista.step, build.after_training, [], []

    def cut_short(fista, *given):
        metrics.append(step(fista, *given))
        if len(metrics) == 2:
            kernel = states[-1].params["branches"]["v1"]["classifier"]["kernel"]
            np.savez(folder / "moment.npz", kernel=kernel, metric=metrics[-1])
            os.kill(os.getpid(), signal.SIGKILL)
        return metrics[-1]

    def at_the_end(hook, state, *given):
        states.append(state)
        return before(hook, state, *given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hcml.Fista, "step", cut_short)
        patched.setattr(build, "after_training", at_the_end)
        train.train(tiny_hcml(tree), folder)


@pytest.mark.slow
@pytest.mark.long  # three runs and their embeddings
def test_a_run_that_goes_on_after_its_end_forgets_the_metric(tmp_path):
    """Else it would learn one of vectors that are measured already."""
    tree = tiny.make_tree(tmp_path / "tree")
    config = tiny_hcml(tree)
    config.schedule = Steps(epochs=3, warmup=0, drops=())
    assert train.train(config, tmp_path / "gone-on") == 0
    config.schedule = Steps(epochs=4, warmup=0, drops=())
    assert train.train(config, tmp_path / "gone-on") == 0
    assert train.train(config, tmp_path / "at-once") == 0
    tiny.assert_same_state(tmp_path / "at-once", tmp_path / "gone-on")
    config.pretrained = str(tmp_path / "at-once")
    config.steps = 1
    assert train.train(config, tmp_path / "new") == 0
    early = tiny.final_state(tmp_path / "new")
    np.testing.assert_array_equal(early["stats/metric/visible"], np.eye(16))


def test_a_hook_names_what_it_gives():
    learned = {"metric": {"mean": np.ones(2)}}

    def hook(*statistics):
        members = {"statistics": statistics, "__call__": lambda *_: learned}
        return type("Hook", (), members)()

    state = TrainState(jnp.int32(0), {}, {"metric": {"mean": jnp.zeros(2)}}, {}, {})
    first = first_statistics(hook("metric"), state)
    taught = after_training(hook("metric"), state, dict, None)
    np.testing.assert_array_equal(taught.stats["metric"]["mean"], 1)
    again = before_end(taught, first)
    np.testing.assert_array_equal(again.stats["metric"]["mean"], 0)
    with pytest.raises(ValueError, match="gives norm, which the network does not"):
        first_statistics(hook("norm"), state)
    with pytest.raises(ValueError, match=r"gives metric, and its statistics are \(\)"):
        after_training(hook(), state, dict, None)


def test_the_hook_gives_what_the_metric_gives(rng):
    """Distances of the network's vectors are those of the learned metric."""
    ids, modality = np.repeat(np.arange(6), 8), np.tile([0, 1], 24)
    x = rng.normal(size=(48, 10)) + 2 * ids[:, None] % 5
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    images = type("Images", (), {"ids": ids, "modality": modality})
    given = HCML(dimensions=4, iterations=9)(lambda: {"fused": x}, images)["metric"]
    learned = hcml.learn(x, ids, modality, dimensions=4, iterations=9)
    maps = (given["visible"], given["infrared"])
    ours = [(x[modality == m] - given["mean"]) @ maps[m] for m in (0, 1)]
    theirs = [learned(x[modality == m], m) for m in (0, 1)]
    found, expected = (
        np.linalg.norm(a[:, None] - b[None], axis=2) for a, b in (ours, theirs)
    )
    np.testing.assert_allclose(found, expected)


def test_rows_are_measured_by_their_own_modality(rng):
    from jreid.models.modules.learned_metric import Metric

    metric = Metric(3)
    values = {"mean": (3,), "visible": (3, 3), "infrared": (3, 3)}
    arrays = {name: rng.normal(size=shape) for name, shape in values.items()}
    nnx.update(metric, {n: jnp.float32(a) for n, a in arrays.items()})
    x, modality = rng.normal(size=(4, 3)), np.array([0, 1, 1, 0])
    made = metric(jnp.float32(x), jnp.asarray(modality))
    for row, vector, of_one in zip(made, x, modality, strict=True):
        used = arrays["infrared" if of_one else "visible"]
        np.testing.assert_allclose(row, (vector - arrays["mean"]) @ used, rtol=1e-4)


def test_a_network_of_several_branches_has_no_metric():
    network = MetricTwoStream((Branch("a"), Branch("b")))
    with pytest.raises(ValueError, match=r"branches is \['a', 'b'\]; allowed is one"):
        network.check()
    config = load("sysu:hcml")
    assert config.after_training == HCML(dimensions=600, exact=False)
    assert load("sysu:hcml_exact").after_training.exact


if __name__ == "__main__":
    main()
