"""What systems need beyond the paper's: each system of systems/ trains and resumes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny

from jreid import config_files, parts, train
from jreid.run import results

SYSTEMS = pathlib.Path(__file__).parent / "systems"
pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.slow]
KEPT = ("clusters", "phases", "players")  # with a state, a hook or a turn of their own
OTHERS = ("second_view", "teacher", "copies")
NAMES = *KEPT, *OTHERS


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


@pytest.fixture(autouse=True)
def unscored(monkeypatch):
    monkeypatch.setattr(results, "write_report", lambda *_: [])
    monkeypatch.setattr(results, "print_report", lambda *_: None)


def config_of(name, tree):
    config = config_files.load(str(SYSTEMS / f"{name}.py"))
    config.data.root = str(tree)
    parts.check(config)
    return config


@pytest.fixture(scope="module")
def four_devices(tree, tmp_path_factory) -> pathlib.Path:
    """All systems on four devices, each once whole and once in two goes."""
    folder = tmp_path_factory.mktemp("four")
    flags = "--xla_force_host_platform_device_count=4"
    subprocess.run(
        [sys.executable, __file__, str(tree), str(folder)],
        check=True,
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(SYSTEMS.parents[1])},
        cwd=SYSTEMS.parent,
    )
    return folder


def run_in_one_and_two_goes(name, tree, folder):
    config = config_of(name, tree)
    assert train.train(config, folder / name) == 0
    config.steps = 4  # neither at an epoch's beginning nor at its end
    assert train.train(config, folder / f"{name}-resumed") == 0
    config.steps = 0
    assert train.train(config, folder / f"{name}-resumed") == 0


@pytest.mark.parametrize(
    "name", [*KEPT, *(pytest.param(x, marks=pytest.mark.long) for x in OTHERS)]
)
def test_a_resumed_run_ends_with_the_same_bits(name, tree, tmp_path):
    run_in_one_and_two_goes(name, tree, tmp_path)
    tiny.assert_same_state(tmp_path / name, tmp_path / f"{name}-resumed")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_on_four_devices_too(name, four_devices):
    tiny.assert_same_state(four_devices / name, four_devices / f"{name}-resumed")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_four_devices_compute_what_one_does(name, tree, tmp_path, four_devices):
    config = config_of(name, tree)
    assert train.train(config, tmp_path / name) == 0
    one, four = (tiny.metrics(f / name) for f in (tmp_path, four_devices))
    for here, there in zip(one, four, strict=True):
        losses = {k for k in here if "loss" in k.split("/")}
        assert losses and losses == {k for k in there if "loss" in k.split("/")}
        for key in losses:
            np.testing.assert_allclose(here[key], there[key], rtol=2e-3, err_msg=key)


def changed(before, after, pattern):
    """Whether any parameter whose path has `pattern` moved."""
    names = [n for n in after if n.startswith("params/") and pattern in n]
    assert names
    return any((before[name] != after[name]).any() for name in names)


def states_at(name, tree, folder, *steps):
    """The state after each of these steps."""
    config, states = config_of(name, tree), []
    for step in steps:
        config.steps = step
        assert train.train(config, folder) == 0
        states.append(tiny.final_state(folder))
    return states


def test_a_phase_trains_what_it_names(tree, tmp_path):
    states = states_at("phases", tree, tmp_path / "run", 3, 6, 9)
    assert changed(states[0], states[1], "patches")
    assert changed(states[1], states[2], "classifier")
    assert changed(states[1], states[2], "token")
    assert not changed(states[1], states[2], "patches")
    assert not changed(states[1], states[2], "qkv")
    lines = tiny.metrics(tmp_path / "run")
    assert ["loss/modality" in line for line in lines] == [False] * 3 + [True] * 3 + [
        False
    ] * 3
    assert lines[5]["lr"] == pytest.approx(0.01)  # the second phase's own schedule


@pytest.mark.long
def test_a_player_of_every_second_step_rests_in_the_others(tree, tmp_path):
    states = states_at("players", tree, tmp_path / "run", 1, 2, 3)
    assert not changed(states[0], states[1], "discriminator")
    assert changed(states[1], states[2], "discriminator")
    for own in ("generator", "encoder", "classifier"):
        assert changed(states[0], states[1], own)
    line = tiny.metrics(tmp_path / "run")[0]
    assert {f"{p}/grad_norm" for p in ("generator", "discriminator", "encoder")} <= set(
        line
    )


@pytest.mark.long
def test_the_teacher_follows_at_its_rate(tree, tmp_path):
    one, two = states_at("teacher", tree, tmp_path / "run", 1, 2)
    name = "branches/v1/classifier/kernel"
    average = "extra/average/" + name
    expected = 0.5 * (one[average] + two["params/" + name])
    np.testing.assert_allclose(two[average], expected, rtol=1e-6)


def test_a_teacher_begins_with_the_weights_that_the_run_begins_with(tree, tmp_path):
    first = states_at("teacher", tree, tmp_path / "run", 1)[0]
    config = config_of("teacher", tree)
    config.pretrained, config.steps = str(tmp_path / "run"), 1
    assert train.train(config, tmp_path / "next") == 0
    after = tiny.final_state(tmp_path / "next")
    name = "branches/v1/classifier/kernel"
    expected = 0.5 * (first["params/" + name] + after["params/" + name])
    np.testing.assert_allclose(after["extra/average/" + name], expected, rtol=1e-6)


def test_clusters_take_the_place_of_identities(tree, tmp_path):
    one, four = states_at("clusters", tree, tmp_path / "run", 1, 4)
    labels = one["extra/labels"]
    assert labels.min() == -1 and labels.max() == 4 and len(labels) == 60
    assert (labels != four["extra/labels"]).any()
    assert np.abs(four["extra/bank"]).sum() > 0


def test_identities_are_never_read_where_clusters_are(tree, tmp_path, monkeypatch):
    plain = states_at("clusters", tree, tmp_path / "plain", 4)[0]
    read = train.read_images

    def shuffled(config, listed):
        images = read(config, listed)
        order = np.random.default_rng(1).permutation(len(images.labels))
        object.__setattr__(images, "labels", images.labels[order])
        return images

    monkeypatch.setattr(train, "read_images", shuffled)
    other = states_at("clusters", tree, tmp_path / "shuffled", 4)[0]
    for name, array in plain.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def main():
    tree, folder = map(pathlib.Path, sys.argv[1:])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(results, "write_report", lambda *_: [])
        patched.setattr(results, "print_report", lambda *_: None)
        for name in NAMES:
            run_in_one_and_two_goes(name, tree, folder)
    print(json.dumps({"devices": 4}))


if __name__ == "__main__":
    main()
