"""docs/new-system.md: its examples are files outside of the package that train."""

import json
import pathlib
import re
from dataclasses import dataclass

import jax
import narrow
import numpy as np
import pytest
import tiny
from test_learner import make_batch, make_system

from jreid import evaluate, parts, train
from jreid.config_files import load
from jreid.losses.least_squares import LeastSquares
from jreid.models.aligned import AlignedNetwork
from jreid.models.modules import aligned
from jreid.models.modules.layers import Linear
from jreid.training.players import Player

SYSTEMS = pathlib.Path(__file__).parent / "systems"
pytestmark = pytest.mark.usefixtures("systems_built_once")
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "new-system.md"


def written(name, folder) -> pathlib.Path:
    """The page's block of Python whose first line names this file, as the file."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if block.startswith(f'"""{name}: '))
    path = folder / name
    path.write_text(code)
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> pathlib.Path:
    return written("stripes.py", tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def player(tmp_path_factory) -> pathlib.Path:
    return written("colours.py", tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.slow
def test_the_example_trains_and_is_scored(example, tmp_path, capsys):
    config = load(str(example))
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    trunk = config.network.trunk
    trunk.depth, trunk.width, trunk.stages = 18, 1 / 16, 2
    config.pretrained, config.size = "", (48, 16)
    config.sampling.identities, config.sampling.images = 3, 2
    config.loading.workers, config.steps = 1, 2
    config.log.every_steps, config.log.writers = 1, ()
    config.evaluation.trials, config.evaluation.rerank = 1, False
    parts.check(config)
    assert train.train(config, tmp_path / "run") == 0
    terms = {k for k in tiny.metrics(tmp_path / "run")[0] if k.startswith("loss/")}
    assert terms == {f"loss/{name}" for name in config.objective}
    shapes = {n: a.shape for n, a in tiny.final_state(tmp_path / "run").items()}
    assert "params/trunk/after/layer2/conv/kernel" in shapes
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    assert {s["feature"] for s in scores} == {"fused", "s0", "s1", "s2", "global"}
    capsys.readouterr()
    again = [str(tmp_path / "run"), "--config", str(example)]
    assert evaluate.main(again) == 0
    assert "global" in capsys.readouterr().out


def test_every_field_of_it_is_checked(example):
    config = load(str(example))
    config.objective["gap"].on = "features.s3"
    with pytest.raises(ValueError, match="config.objective.gap.on is 'features.s3'"):
        parts.check(config)


@pytest.mark.long
def test_a_player_of_ones_own_plays(player, tmp_path, embedded):
    """In AlignGAN's third phase alone, whose players it joins."""
    config = narrow.narrowed(narrow.systems.demos()["aligngan"](load(str(player))))
    narrow.shrink(config)
    config.phases, config.schedule.epochs = config.phases[2:], 1
    config.schedule.drops, config.data.root = (), str(tiny.make_tree(tmp_path / "tree"))
    parts.check(config)
    states = []
    for config.steps in (1, 2):
        assert train.train(config, tmp_path / "run") == 0
        states.append(tiny.final_state(tmp_path / "run"))
    own = [n for n in states[0] if n.startswith("params/discriminators/colours/")]
    assert len(own) == 4
    for name in own:
        assert (states[0][name] != states[1][name]).any(), name
    before, after = (np.concatenate([x[n].ravel() for n in own]) for x in states)
    way = np.linalg.norm(after - before) / np.linalg.norm(before)
    lines = tiny.metrics(tmp_path / "run")
    np.testing.assert_allclose(lines[1]["colours/update_ratio"], way, rtol=1e-3)
    for line in lines:
        assert line["generators/loss/fool_colours"] > 0
        terms = [line[f"colours/loss/{name}"] for name in ("real", "fake")]
        np.testing.assert_allclose(line["colours/loss"], sum(terms) / 2, rtol=1e-5)
        assert line["colours/grad_norm"] > 0 and 0 < line["colours/update_ratio"] < 1
        rate = config.players["visible"].optimizer.lr
        np.testing.assert_allclose(line["colours/lr"], rate, rtol=1e-5)
    for features in embedded:
        assert features["fused"].shape[0] == 24


def test_what_is_no_critic_is_refused(player):
    config = load(str(player))
    parts.check(config)
    config.network.critics["colours"].of = "infra-red"
    with pytest.raises(ValueError, match=r"critics.colours is .*one of visible, infra"):
        parts.check(config)
    config.network.critics = {"made": config.network.critics["colours"]}
    with pytest.raises(ValueError, match="critics has 'made'; allowed are other names"):
        parts.check(config)
    config = load(str(player))
    config.players["generators"].objective["fool_colours"].on = "judgements.colour"
    with pytest.raises(ValueError, match=r"fool_colours.on is 'judgements.colour'"):
        parts.check(config)


def test_a_player_without_parameters_is_refused():
    config = load(str(SYSTEMS / "players.py"))
    config.players["generator"].params = "generators"  # its path is generator/...
    with pytest.raises(ValueError, match=r"generator.params is 'generators', with whi"):
        jax.eval_shape(lambda: make_system(config).init(0))


def test_a_player_that_a_network_does_not_know_is_refused(player):
    config = load(str(player))
    config.players["people"] = config.players["colours"]
    with pytest.raises(ValueError, match=r"'people'; allowed .*player_names\(\) has"):
        parts.check(config)


@dataclass(slots=True)
class CriticOfFeatures(AlignedNetwork):
    """AlignGAN's network and a critic of features, as the page says in words."""

    def player_names(self):
        return (*AlignedNetwork.player_names(self), "people")

    def names(self):
        return (*AlignedNetwork.names(self), "judgements.people")

    def make(self, classes, rngs, dtype):
        return JudgedFeatures(self, classes, dtype=dtype, rngs=rngs)


class JudgedFeatures(aligned.AlignedNetwork):
    def __init__(self, part, classes, *, dtype, rngs):
        super().__init__(part, classes, dtype=dtype, rngs=rngs)
        self.people = Linear(part.trunk.channels()[-1], 1, rngs=rngs)

    def __call__(self, images, stems, rng=None, *, ids, player, made):
        shown = "encoder" if player == "people" else player
        own = {"ids": ids, "player": shown, "made": made}
        outputs = super().__call__(images, stems, rng, **own)
        if player in ("encoder", "people"):
            outputs["judgements"]["people"] = self.people(outputs["features"]["v1"])
        return outputs


@pytest.mark.slow
def test_a_critic_of_features_is_a_network_that_inherits():
    """Of the shapes of one step alone; both who judges and who is judged feel it."""
    config = narrow.narrow("aligngan")
    narrow.shrink(config)
    network = config.network
    fields = [
        name for name in AlignedNetwork.__dataclass_fields__ if name != "translates"
    ]
    config.network = CriticOfFeatures(*(getattr(network, name) for name in fields))
    fool = LeastSquares(on="judgements.people")
    config.players["encoder"].objective["fool_people"] = fool
    judge = LeastSquares(on="judgements.people", target=0.0)
    adam = config.players["visible"].optimizer
    config.players["people"] = Player({"judge": judge}, "people", adam)
    config.phases, config.schedule.epochs = config.phases[2:], 1
    config.phases[0].players += ("people",)
    config.schedule.drops = ()
    for one in config.players.values():
        one.sampling = None
    parts.check(config)
    system = make_system(config)

    def step(batch):
        return system.step(system.init(0), batch, 0)

    state, scalars = jax.eval_shape(step, make_batch())
    assert {"people/loss/judge", "encoder/loss/fool_people"} < set(scalars)
    assert state.params["people"].keys() == {"kernel", "bias"}
    paths = [
        jax.tree_util.keystr(p)
        for p, _ in jax.tree.leaves_with_path(state.opt_state["people"])
    ]
    assert any("people" in path for path in paths)
    assert not any("encoder" in path for path in paths)
