"""SIGKILL between the updates of two players: the resumed run has the same bits."""

import os
import pathlib
import signal
import subprocess
import sys

import jax
import narrow
import numpy as np
import pytest
import tiny

from jreid import train
from jreid.losses.tell_modality import TellModality
from jreid.run import results

pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.long]
ENCODER, DISCRIMINATOR = (
    ("trunk", "layer4", 1, "conv1", "kernel"),
    ("discriminators", "modality", "perceptron", "layers", 0, "kernel"),
)


def config_of(tree):
    config = narrow.narrow("cmgan_minmax")
    config.data.root = str(tree)
    for player in config.players.values():
        player.optimizer.lr = 1e-3
    return config


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def test_a_run_killed_between_two_players_ends_bit_identical(tmp_path, embedded):
    tree = tiny.make_tree(tmp_path / "tree")
    config = config_of(tree)
    config.steps = 4
    assert train.train(config, tmp_path / "whole") == 0
    config.steps = 2
    assert train.train(config, tmp_path / "killed") == 0
    saved = tiny.final_state(tmp_path / "killed")
    root = pathlib.Path(__file__).parent.parent
    process = subprocess.run(
        [sys.executable, __file__, str(tree), str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    with np.load(tmp_path / "killed" / "moment.npz") as moment:
        for name, path in (("encoder", ENCODER), ("discriminator", DISCRIMINATOR)):
            before = saved["params/" + "/".join(map(str, path))]
            assert (before == moment[name]).all() == (name == "discriminator")
    config.steps = 4
    assert train.train(config, tmp_path / "killed") == 0
    tiny.assert_same_state(tmp_path / "whole", tmp_path / "killed")


def main():
    """Goes on with a run, and is killed once its encoder has moved."""
    tree, folder = map(pathlib.Path, sys.argv[1:])
    call, turns = TellModality.__call__, []

    def end(encoder, discriminator):
        np.savez(folder / "moment.npz", encoder=encoder, discriminator=discriminator)
        os.kill(os.getpid(), signal.SIGKILL)

    def called(term, outputs, batch, rng=None):
        turns.append(term)
        if len(turns) == 2:  # the discriminator's
            leaves = [at(batch["params"], path) for path in (ENCODER, DISCRIMINATOR)]
            jax.debug.callback(end, *map(jax.lax.stop_gradient, leaves))
        return call(term, outputs, batch, rng)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TellModality, "__call__", called)
        patched.setattr(results, "write_report", lambda *_: [])
        config = config_of(tree)
        config.steps = 4
        train.train(config, folder)


if __name__ == "__main__":
    main()
