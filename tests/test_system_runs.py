"""Published systems, made narrow, train a few steps and go on with the same bits."""

import dataclasses
import pathlib

import narrow
import numpy as np
import pytest
import tiny

from jreid import parts, train

pytestmark = pytest.mark.usefixtures("systems_built_once")

# name -> parameters whose blocks or stages are the system's own; one for each mechanism
MECHANISMS = {
    "caj": "trunk/after",  # a second view, augmentation on the device
    "hctri": "stems/visible/trunk",  # a stage of each stem's own
    "mcja": "trunk/after",  # mixed columns, one stem
    "deen": "trunk/before",  # rows made of rows
    "mmn": "adapters",  # rows made of images
    "vsd": "shared",  # three networks
    "tone": "branches",  # pairs instead of identities
    "cmcen_adv": "discriminators",  # a gradient that comes back reversed
    "ddag": "graph",  # labels in the network, a factor of the last epoch's losses
    "pgm": "stems",  # labels by clustering, a memory, stages
    "cmgan_minmax": "discriminators",  # players
    "jsia": "styles",  # players who come with a later phase
    "pmt": "blocks",  # tokens instead of maps, a phase with views of its own
}
OTHERS = [name for name in narrow.NAMES if name not in MECHANISMS]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


def run_in_one_and_two_goes(name, tree, folder):
    """The states at the beginning and at the end of a run that was never stopped."""
    config = narrow.narrow(name)
    config.data.root = str(tree)
    for part in (config, *config.players.values()):
        if part.optimizer is not None:
            part.optimizer.lr = 1e-3  # so narrow and untrained, their own is too much
    parts.check(config)
    config.steps = 3
    assert train.train(config, folder / "whole") == 0
    resumed = dataclasses.replace(config, steps=2)
    assert train.train(resumed, folder / "resumed") == 0
    early = tiny.final_state(folder / "resumed")
    assert train.train(config, folder / "resumed") == 0
    tiny.assert_same_state(folder / "whole", folder / "resumed")
    return early, tiny.final_state(folder / "whole")


def check_features(embedded):
    assert len(embedded) == 3
    for features in embedded:
        for name, vectors in features.items():
            assert vectors.shape[0] == 24 and vectors.ndim == 2, name
            assert np.isfinite(vectors).all(), name
    np.testing.assert_array_equal(embedded[0]["fused"], embedded[2]["fused"])


@pytest.mark.long
@pytest.mark.parametrize("name", MECHANISMS)
def test_each_mechanism_trains_its_parts_and_resumes(name, tree, tmp_path, embedded):
    before, after = run_in_one_and_two_goes(name, tree, tmp_path)
    check_features(embedded)
    own = [n for n in after if n.startswith(f"params/{MECHANISMS[name]}")]
    assert own
    assert any((before[n] != after[n]).any() for n in own)
    losses = [v for m in tiny.metrics(tmp_path / "whole") for k, v in m.items()]
    assert all(np.isfinite(v) for v in losses if isinstance(v, float))


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_system_resumes(name, tree, tmp_path, embedded):
    run_in_one_and_two_goes(name, tree, tmp_path)
    check_features(embedded)
