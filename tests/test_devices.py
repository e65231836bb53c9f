"""Players, phases and clusters: on two and on four devices a run loses as on one."""

import os
import pathlib
import subprocess
import sys

import jax
import narrow
import numpy as np
import pytest
import tiny

from jreid import parts, train
from jreid.data.cluster_sampling import PerCluster
from jreid.data.sampling import PerModality
from jreid.run import results

pytestmark = pytest.mark.long  # each compiles all of the systems

ROOT = pathlib.Path(__file__).parent.parent
# system -> losses that all of its steps have, or some
TOLD = {
    "aligngan": ("encoder_alone/loss", "visible/loss/fake", "generators/loss/cycle"),
    "pmt": ("loss/identity", "loss/triplet", "loss/shared", "loss/centres"),
    "adca": ("loss/visible", "loss/infrared"),
}


def config_of(name, tree):
    """Six steps of eight images in each view, which four devices share."""
    config = narrow.narrow(name)
    config.data.root = str(tree)
    if name == "aligngan":
        narrow.shrink(config)
    config.sampling = PerModality(identities=2, images=4)
    if name == "adca":
        config.sampling = PerCluster(2, 2, images=4)
        config.size, config.network.trunk.stages = (32, 16), 2
    for player in config.players.values():
        player.sampling = player.sampling and config.sampling
    for part in (config, *config.players.values()):
        if part.optimizer is not None:
            part.optimizer.lr = 1e-4  # more amplifies the order of sums
    parts.check(config)
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, pathlib.Path]:
    """A run of each system by the number of devices."""
    folder = tmp_path_factory.mktemp("devices")
    tree, found = tiny.make_tree(folder / "tree"), {}
    for devices in (1, 2, 4):
        found[devices] = folder / str(devices)
        subprocess.run(
            [sys.executable, __file__, str(devices), str(tree), str(found[devices])],
            check=True,
            env={
                **os.environ,
                "JAX_NUM_CPU_DEVICES": str(devices),
                "PYTHONPATH": str(ROOT),
            },
            cwd=ROOT,
        )
    return found


@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize("name", TOLD)
def test_more_devices_lose_what_one_does(name, devices, runs):
    one, more = (tiny.metrics(runs[n] / name) for n in (1, devices))
    assert len(one) == 6
    seen = set()
    for here, there in zip(one, more, strict=True):
        losses = {key for key in here if "loss" in key.split("/")}
        assert losses == {key for key in there if "loss" in key.split("/")}
        seen |= losses
        for key in losses:
            np.testing.assert_allclose(here[key], there[key], rtol=1e-3, err_msg=key)
    assert seen.issuperset(TOLD[name])


def main():
    """Trains each system on as many devices as there are."""
    devices, tree, folder = int(sys.argv[1]), *map(pathlib.Path, sys.argv[2:])
    assert jax.device_count() == devices
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(results, "write_report", lambda *_: [])
        patched.setattr(results, "print_report", lambda *_: None)
        for name in TOLD:
            assert train.train(config_of(name, tree), folder / name) == 0


if __name__ == "__main__":
    main()
