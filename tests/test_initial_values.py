"""Values with which parts of published systems start, by the laws of released code."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.config_files import load
from jreid.models.expansion import DiverseExpansion
from jreid.models.gates import ModalityAlleviation
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.modules.heads import BranchHead
from jreid.models.modules.mutual import Representation
from jreid.models.mutual import MutualNetwork
from jreid.models.pooling import Average
from jreid.models.two_stream import Branch, Classifier, Project

CHANNELS, CLASSES = 512, 40
FIVE = 5  # standard deviations


def made(part, channels=CHANNELS):
    return part.make(channels, nnx.Rngs(0), jnp.float32)


def head(**fields) -> Any:
    """Of a branch with these fields."""
    part = Branch("v1", Average(), **fields)
    return BranchHead(part, CHANNELS, CLASSES, dtype=jnp.float32, rngs=nnx.Rngs(0))


def is_normal(values, std, mean=0.0):
    """Whether moments are those of a normal law, which no uniform one has."""
    x = np.asarray(values[...]).ravel().astype(float)
    assert x.size > 200
    assert abs(x.mean() - mean) < FIVE * std / np.sqrt(x.size)
    assert abs(x.std() / std - 1) < FIVE / np.sqrt(2 * x.size)
    assert np.abs(x - mean).max() > 2.2 * std  # a uniform law ends at 1.73


def is_uniform(values, bound):
    """Whether values fill -bound to bound evenly."""
    x = np.asarray(values[...]).ravel().astype(float)
    assert x.size > 200
    assert 0.97 * bound < np.abs(x).max() <= bound
    assert abs(x.std() / (bound / np.sqrt(3)) - 1) < FIVE / np.sqrt(2 * x.size)


def is_one(values):
    np.testing.assert_array_equal(values[...], 1)


def test_expansion_starts_kaiming_normal_by_the_fan_in():
    """DEEN's and PDM's FC11 to FC13 and FC1; the bias of FC1 is torch's default."""
    for expander in made(DiverseExpansion()).expanders:
        for conv in expander.convs:
            is_normal(conv.kernel, (2 / (9 * CHANNELS)) ** 0.5)
        is_normal(expander.out.kernel, (2 / (CHANNELS // 4)) ** 0.5)
        is_uniform(expander.out.bias, (CHANNELS // 4) ** -0.5)


def test_modality_alleviation_starts_kaiming_normal_by_the_fan_out():
    """MPANet's and SAAI's MAM, among the convolutions of their ResNet."""
    module = made(ModalityAlleviation(reduction=16))
    assert module.first.bias is None and module.second.bias is None
    is_normal(module.first.kernel, (2 / (CHANNELS // 16)) ** 0.5)
    is_normal(module.second.kernel, (2 / CHANNELS) ** 0.5)


def test_a_branch_starts_as_agws():
    module = head()
    is_normal(module.neck.scale, 0.01, mean=1)
    is_normal(module.classifier.kernel, 0.001)
    is_normal(ModalityClassifier().make(64, 9, nnx.Rngs(0), None).kernel, 0.001)


def test_a_branch_can_start_as_torchs_layers():
    module = head(
        scale_std=0.0,
        classifier=Classifier(init="uniform"),
        own=ModalityClassifier(init="uniform"),
    )
    is_one(module.neck.scale)
    for classifier in (module.classifier, module.own):
        is_uniform(classifier.kernel, CHANNELS**-0.5)
    necks = head(neck_of="modality").neck
    assert necks.scale.shape == (2, CHANNELS)
    is_one(necks.scale)


@pytest.mark.parametrize(("init", "fan"), [("fan_out", 256), ("fan_in", CHANNELS)])
def test_a_projection_starts_kaiming_normal_by_its_fan(init, fan):
    module = head(project=Project(256, bias=True, init=init))
    is_normal(module.project.linear.kernel, (2 / fan) ** 0.5)
    np.testing.assert_array_equal(module.project.linear.bias[...], 0)
    is_one(module.project.bn.scale)
    is_normal(head(project=Project(256, scale_std=0.01)).project.bn.scale, 0.01, mean=1)


def test_fields_of_other_values_are_refused():
    with pytest.raises(ValueError, match=r"^scale_std is -0\.1; allowed is 0 and more"):
        Branch("v1", scale_std=-0.1).check()


def test_vsds_bottleneck_and_head():
    part = MutualNetwork(hidden=(400, 300), features=64, head=32)
    module = Representation(
        part, CHANNELS, CLASSES, dtype=jnp.float32, rngs=nnx.Rngs(0)
    )
    for linear, norm, width in zip(
        module.linears, module.norms, part.hidden, strict=True
    ):
        is_normal(linear.kernel, (2 / width) ** 0.5)
        is_normal(norm.scale, 0.02, mean=1)
    is_normal(module.out.kernel, (2 / part.features) ** 0.5)
    is_normal(module.head.kernel, 0.001)
    is_one(module.head_bn.scale)
    is_normal(module.classifier.kernel, 0.001)


def test_vsds_necks_start_at_1():
    part = MutualNetwork()
    part.trunk.depth, part.trunk.width, part.trunk.stages = 18, 1 / 8, 2
    part.trunk.before = {}
    network = part.make(CLASSES, nnx.Rngs(0), jnp.float32)
    for net in (network.visible, network.infrared, network.shared):
        is_one(net.neck.scale)


# system -> standard deviation of the neck's scale; laws of classifiers, projections
SYSTEMS = {
    "agw": (0.01, "normal", None),
    "deen": (0.01, "normal", None),
    "hc": (None, "normal", "fan_out"),
    "hctri": (None, "normal", "fan_in"),
    "hctri_code": (None, "normal", "fan_in"),
    "mcja": (0.0, "uniform", None),
    "mpanet": (0.0, "uniform", None),
    "saai": ("modality", "uniform", None),
    "saai_paper": ("modality", "uniform", None),
    "xmodal": (0.0, "normal", None),
    "xmodal_released": (0.0, "normal", None),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_start_as_their_released_code(name):
    scale_std, classifier, project = SYSTEMS[name]
    for data in ("sysu", "regdb"):
        for branch in load(f"{data}:{name}").network.branches:
            one = branch.neck_of if branch.neck_of != "all" else branch.scale_std
            assert scale_std == (one if branch.neck else None)
            assert branch.classifier.init == classifier
            assert branch.own is None or branch.own.init == classifier
            assert project == (branch.project and branch.project.init)
