"""AlignGAN's runs, narrow: who moves in which phase, and killed at any moment."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import narrow
import numpy as np
import pytest
import tiny

from jreid import parts, train
from jreid.data.sampling import PerModality
from jreid.losses.least_squares import LeastSquares
from jreid.run import build, results
from jreid.run.checkpoint import Checkpoints

pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.long]

ROOT = pathlib.Path(__file__).parent.parent
STEPS = 4  # of each phase
PLAYERS = (
    ("encoder_alone",),
    ("generators_alone", "visible_alone", "infrared_alone"),
    ("encoder", "generators", "visible", "infrared"),
)
MOVED = (
    {"encoder", "embedder"},
    {"generators", "discriminators/visible_alone", "discriminators/infrared_alone"},
    {"encoder", "embedder", "generators"}
    | {"discriminators/visible", "discriminators/infrared"},
)


def config_of(tree):
    """Three phases of two epochs of two steps."""
    config = narrow.narrow("aligngan")
    narrow.shrink(config)
    config.data.root, config.checkpoint.keep = str(tree), 9
    config.sampling = PerModality(identities=2, images=4)
    for player in config.players.values():
        player.sampling = player.sampling and config.sampling
    for part in (config, *config.players.values()):
        if part.optimizer is not None:
            part.optimizer.lr = 1e-3  # so narrow and untrained, their own is too much
    for phase in config.phases:
        phase.epochs = 2
    config.schedule.epochs, config.schedule.drops = 6, ((4, 0.1),)
    parts.check(config)
    return config


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


@pytest.fixture(autouse=True)
def unscored(embedded): ...


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory, systems_built_once) -> pathlib.Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        unreported(patched)
        assert train.train(config_of(tree), folder / "run") == 0
    return folder / "run"


def unreported(patched):
    patched.setattr(results, "write_report", lambda *_: [])
    patched.setattr(results, "print_report", lambda *_: None)


def state_at(folder, step):
    with Checkpoints(folder / "checkpoints", read_only=True) as saved:
        return jax.tree.map(np.asarray, saved.restore(saved.shapes(step), step))


def begun(*words):
    """This file's `main` with these words, in a process of its own; its exit code."""
    return subprocess.run(
        [sys.executable, __file__, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
    ).returncode


def parts_moved(before, after):
    """Of the parameters; a discriminator is a part by itself."""
    moved = set()
    for name in (n for n in after if n.startswith("params/")):
        if (before[name] != after[name]).any():
            words = name.split("/")
            depth = 3 if words[1] == "discriminators" else 2
            moved.add("/".join(words[1:depth]))
    return moved


def test_each_phase_moves_its_players_and_tells_of_them(whole):
    lines = tiny.metrics(whole)
    ends = [state_at(whole, STEPS * number) for number in (1, 2, 3)]
    assert parts_moved(ends[0], ends[1]) == MOVED[1]
    assert parts_moved(ends[1], ends[2]) == MOVED[2]
    assert parts_moved(state_at(whole, 2), ends[0]) == MOVED[0]
    for number, players in enumerate(PLAYERS):
        for line in lines[STEPS * number : STEPS * (number + 1)]:
            told = {k.partition("/")[0] for k in line if k.endswith("/loss")}
            assert told == set(players)
            for player in players:
                assert np.isfinite(line[f"{player}/loss"])
                assert line[f"{player}/grad_norm"] > 0 < line[f"{player}/lr"]
                assert 0 < line[f"{player}/update_ratio"] < 1
            total = sum(line[f"{player}/loss"] for player in players)
            np.testing.assert_allclose(line["loss"], total, rtol=1e-5)


def test_a_run_killed_in_each_phase_ends_bit_identical(whole, tree, tmp_path):
    draw = random.Random()
    steps = [STEPS * number + draw.randint(1, STEPS) for number in range(3)]
    print("killed in the steps", steps)
    for step in steps:
        code = begun("in a step", tree, tmp_path / "run", step)
        assert code == -signal.SIGKILL, steps
    lines = [line["step"] for line in tiny.metrics(tmp_path / "run")]
    assert lines[-1] == steps[-1] - 1, steps
    assert train.train(config_of(tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole, tmp_path / "run")


def test_a_run_killed_between_two_players_ends_bit_identical(whole, tree, tmp_path):
    """Encoder and generators have moved, the discriminators have not."""
    config = config_of(tree)
    config.steps = 2 * STEPS
    assert train.train(config, tmp_path / "run") == 0
    code = begun("between players", tree, tmp_path / "run", 0)
    assert code == -signal.SIGKILL
    with np.load(tmp_path / "run" / "moment.npz") as moment:
        moved = parts_moved(state_at(tmp_path / "run", 2 * STEPS), moment)
    assert moved == {"encoder", "embedder", "generators"}
    config.steps = 0
    assert train.train(config, tmp_path / "run") == 0
    tiny.assert_same_state(whole, tmp_path / "run")


def main():
    """A run that goes on and is killed; see `begun`."""
    what, tree, folder, number = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patched:
        unreported(patched)
        if what == "in a step":
            kill_in_step(patched, int(number))
        else:
            kill_between_players(patched, pathlib.Path(folder))
        sys.exit(train.train(config_of(tree), pathlib.Path(folder)))


def kill_in_step(patched, number):
    """Before the step, or at some moment while the devices compute it."""
    step, draw = build.Run.step, random.Random()

    def killed(run, now, *given):
        if now == number and draw.random() < 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
        found = step(run, now, *given)
        if now == number:
            time.sleep(draw.uniform(0, 0.1))
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    patched.setattr(build.Run, "step", killed)


def kill_between_players(patched, folder):
    """When the first discriminator's turn begins, with the parameters as they are."""
    call, turns = LeastSquares.__call__, []

    def called(term, outputs, batch, rng=None):
        if batch["made"] and not turns:
            turns.append(term)
            found = jax.tree_util.tree_leaves_with_path(batch["params"])
            names = [
                "params/" + jax.tree_util.keystr(path, simple=True, separator="/")
                for path, _ in found
            ]

            def end(*leaves):
                np.savez(folder / "moment.npz", **dict(zip(names, leaves, strict=True)))
                os.kill(os.getpid(), signal.SIGKILL)

            leaves = [jax.lax.stop_gradient(leaf) for _, leaf in found]
            jax.debug.callback(end, *leaves)
        return call(term, outputs, batch, rng)

    patched.setattr(LeastSquares, "__call__", called)


if __name__ == "__main__":
    main()
