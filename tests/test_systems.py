"""The published systems: parameters, learning rates, what differs between data sets."""

import collections
import importlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx
from parameters import slow_but

from jreid import parts
from jreid.config_files import load
from jreid.config_json import from_json, to_json
from jreid.models.modules.keys import WeightKeys
from jreid.training.build import schedules
from jreid.training.optimizers import lr_factor
from jreid.training.plan import plan
from jreid.training.schedules import Steps

# conv1, bn1 and the four stages of a ResNet-50; the second modality's conv1 and bn1
RESNET, STEM = 23_508_032, 9_536
# released networks' at 395 identities (RegDB: 206), frozen biases of necks included,
# averaged classifiers not; VSD's are in test_mutual.py
PARAMETERS = {
    "sysu:rle": 26_769_792,
    "regdb:rle": 9_404_800,
    "sysu:agw": 24_359_311,
    "sysu:baseline": 24_330_624,  # without the five non-local blocks, 28,687
    "sysu:caj": 24_359_311,
    "sysu:caj_plus": 24_359_311,
    "sysu:hctri": 27_492_802,
    "sysu:hc": 54_532_546,
    "sysu:mcja": 24_353_866,
    "sysu:deen": 42_037_792,
    "regdb:deen": 13_094_176,
    "sysu:mmn": 26_769_814,
    "sysu:xmodal": 24_321_098,
    "sysu:cmcen": 25_803_925,
    "sysu:bdtr": RESNET + STEM + 395 * 2048,
    "sysu:tone": RESNET + STEM + 395 * 2048,
    "sysu:hcml": RESNET + STEM + 395 * 2048,  # the metric is no parameter
    # two modalities' own classifiers beside the baseline's
    "sysu:mac_like": 24_330_624 + 2 * 395 * 2048,
    "sysu:mace_like": 24_330_624 + 2 * 395 * 2048,
    # six stripes: a linear map to 256, its BatchNorm and a classifier
    "sysu:dfe_like": RESNET + 6 * (2048 * 256 + 2 * 256 + 395 * 256),
    # two stems, the trunk and two more copies of its end; eight such heads
    "sysu:dpmbn_like": 64_618_880 + 8 * (2048 * 256 + 2 * 256 + 395 * 256),
    "sysu:ddag": 46_132_377 - 4_200_448,  # without what the released one never uses
    "sysu:dscnet": 24_359_311,
    "sysu:cmcen_adv": 25_803_925 + 2_623_489,
    # the trunk, a second stem and the neck: without classifier and non-local blocks
    "sysu:adca": 23_508_032 + 9_536 + 4_096,
    "sysu:pgm": 24_359_311 - 395 * 2048,  # AGW's without classifier
    # two generators, three discriminators and one with the map, encoder and heads
    "sysu:aligngan": 2 * 6_053_504
    + 3 * 11_155_392
    + (11_155_392 + 64 * 2049 + 16 * 64 * 512)
    + 23_508_032
    + 1_151_115,
    # two generators and two discriminators of AlignGAN, two stems and the trunk, a head
    "sysu:mtgan_like": 2 * 6_053_504
    + 2 * 11_155_392
    + 23_508_032
    + 9_536
    + (4_096 + 395 * 2048),
    # two encoders and decoders, their discriminators' judges, a ResNet-50 whose first
    # convolution has a fourth channel of 7 x 7, a head
    "sysu:d2rl_like": 2 * (5_385_856 + 5_754_627)
    + 2 * 3 * 2_757_057
    + (23_508_032 + 7 * 7 * 64)
    + (4_096 + 395 * 2048),
    # prototype and attribute encoders, the decoder, the discriminators' judges, the
    # stages of ReID's own with the share, and its hidden layer, embedding, classifier
    "sysu:hicmd": 2 * 1_520_448
    + 2 * 23_508_032
    + 12_123_011
    + 2 * 3 * 341_857
    + 1_219_584
    + 7_098_368
    + 1
    + 4_200_448
    + 2_098_176
    + 809_355,
    # encoder with neck and classifier, two styles and decoders, two discriminators
    "sysu:jsia": 23_508_032
    + 2 * 2_048
    + 395 * 2_048
    + 2 * (709_824 + 3_823_875)
    + 2 * 2 * 690_401,
    "sysu:cmgan": 23_508_032 + 1_251_723 + 2_550_502,
    # 655,360 in two gates, 12,294 in the masks, three classifiers of 5,662,720
    "sysu:mpanet": 41_192_518,
    # 346,112 for prototypes and positions, two necks and three classifiers of 16,384
    "sysu:saai": 43_990_080,
    "sysu:saai_paper": 41_552_960,
    # two stems; the global head; prototypes, positions, neck, classifiers and scores
    "sysu:fbp_like": 23_508_032
    + 9_536
    + (4_096 + 395 * 2048)
    + (6 + 162) * 2048
    + 2 * 12_288
    + 6 * 395 * 2048
    + 6
    + 2_550_502,
    # DEEN's and 25,990 in the attentions, 610,304 and a head of 22,528 for the parts
    "sysu:pdm": 51_617_702,
    "sysu:pdm_tri": 51_617_702,
    # patches, class token, 211 positions, twelve blocks, two norms, classifier
    "sysu:pmt": 590_592 + 768 * 212 + 12 * 7_087_872 + 2 * 1_536 + 395 * 768,
    "regdb:pdm": 15_755_942,
}


# of these, those that learn at another share of their optimiser's rate: what is
# pretrained, and what stands within it
SLOWER = {
    "sysu:rle": {0.1: RESNET + STEM},
    "regdb:rle": {0.1: 8_543_296 + STEM},  # without layer 4
    "sysu:agw": {0.1: RESNET + STEM + 28_687},
    "sysu:baseline": {0.1: RESNET + STEM},
    "sysu:caj": {0.1: RESNET + STEM + 28_687},
    "sysu:caj_plus": {0.1: RESNET + STEM + 28_687},
    "sysu:dscnet": {0.1: RESNET + STEM + 28_687},
    "sysu:hctri": {0.1: RESNET + STEM + 215_808},  # two layers 1
    "sysu:hc": {0.1: 2 * RESNET},
    # the expansion, and the fusions after three stages
    "sysu:deen": {0.1: RESNET + STEM + 14_682_112 + 63_264 + 594_048 + 2_367_744},
    "regdb:deen": {0.1: 13_094_176 - 2 * 1_024 - 206 * 1_024},
    # all but the first neck and classifier; but for both of them
    "sysu:pdm": {0.1: 51_617_702 - 4_096 - 395 * 2048 - 22_528},
    "sysu:pdm_tri": {0.1: 51_617_702 - 4_096 - 395 * 2048 - 45_056 - 395 * 22_528},
    "regdb:pdm": {0.1: 15_755_942 - 2 * 1_024 - 206 * 1_024 - 11 * 1_024},
    "sysu:mmn": {0.1: RESNET + STEM + 22},  # adapters
    "sysu:cmcen": {0.1: 25_803_925 - 4_096 - 395 * 2048},
    # the adversary as well
    "sysu:cmcen_adv": {0.1: 25_803_925 - 4_096 - 395 * 2048 + 2_623_489},
    "sysu:cmgan": {0.1: RESNET + 1_251_723},  # not the adversary
    "sysu:bdtr": {0.1: RESNET + STEM},
    "sysu:tone": {0.1: RESNET + STEM},
    "sysu:hcml": {0.1: RESNET + STEM},
    "sysu:mac_like": {0.1: RESNET + STEM},
    "sysu:mace_like": {0.1: RESNET + STEM},
    "sysu:dfe_like": {0.1: RESNET},
    "sysu:ddag": {0.1: RESNET + STEM},  # neither parts nor graph
    # and prototypes, positions and scores
    "sysu:fbp_like": {0.1: RESNET + STEM, 0.01: (6 + 162) * 2048 + 6},
    "sysu:aligngan": {0.1: RESNET},  # the encoder, not the embedder
    "sysu:hicmd": {0.01: 1},  # prototype's share against style's
    "sysu:pmt": {0.5: 590_592 + 12 * 7_087_872},  # patches and blocks
}
QUICK = ("sysu:agw", "regdb:rle", "sysu:mmn", "sysu:pmt")


def groups_of(config, name):
    """The groups of the optimiser that moves the parameter."""
    for player in config.players.values():
        if player.optimizer and re.match(player.params, name):
            return player.optimizer.groups
    return config.optimizer.groups


@pytest.mark.parametrize("spec", slow_but(PARAMETERS, quick=QUICK))
def test_parameters_are_those_of_the_released_networks(spec):
    config, classes = load(spec), 206 if spec.startswith("regdb") else 395
    network = config.network
    made = nnx.eval_shape(lambda: network.make(classes, WeightKeys(0), jnp.float32))
    leaves = jax.tree.leaves_with_path(nnx.to_pure_dict(nnx.state(made, nnx.Param)))
    count = sum(leaf.size for _, leaf in leaves)
    frozen = sum(leaf.size for path, leaf in leaves if "'neck'" in str(path))
    assert count + frozen == PARAMETERS[spec]
    factors = collections.Counter()
    for path, leaf in leaves:
        name = "/".join(str(key.key) for key in path)
        factors.update({lr_factor(groups_of(config, name), name): leaf.size})
    slower = {factor: size for factor, size in factors.items() if factor != 1}
    assert slower == SLOWER.get(spec, {})


AGW = {0: 0.1, 9: 1, 19: 1, 20: 0.1, 49: 0.1, 50: 0.01, 80: 0.01}
DSCNET = {**AGW, 39: 0.1, 40: 0.03, 49: 0.03, 80: 0.01, 199: 0.01}
SAAI = {0: 0.1, 9: 1, 79: 1, 80: 0.1, 119: 0.1, 120: 0.01, 159: 0.01}
PDM = {0: 0.1, 9: 1, 19: 1, 20: 0.1, 79: 0.1, 80: 0.01, 199: 0.01}
RLE = {0: 0.1, 9: 1, 19: 1, 20: 0.1, 79: 0.1, 80: 0.01, 119: 0.01, 120: 0.001}
XMODAL = {0: 0.109, 9: 1, 38: 1, 39: 0.1, 68: 0.1, 69: 0.01, 119: 0.01}
# spec -> peak, and factors by epoch, from 0: the epoch, and the one before each change
RATES = {
    "sysu:rle": (0.1, RLE | {150: 0.001}),
    "sysu:rle_paper": (0.1, {0: 0.1, 19: 1, 20: 0.1, 49: 0.1, 50: 0.01, 150: 0.01}),
    "sysu:strong": (0.1, {0: 0.1, 19: 1, 20: 0.1, 80: 0.01, 120: 0.001, 150: 0.001}),
    "sysu:agw": (0.1, AGW),
    "sysu:caj": (0.1, {0: 0.1, 9: 1, 19: 1, 20: 0.1, 50: 0.01, 99: 0.01}),
    "sysu:hctri": (0.1, {0: 0.1, 9: 1, 19: 1, 20: 0.1, 49: 0.1, 50: 0.01, 60: 0.01}),
    "sysu:baseline": (0.1, AGW),
    "sysu:caj_plus": (0.1, AGW | {99: 0.01}),
    "regdb:hctri": (0.1, {0: 0.1, 9: 1, 19: 1, 20: 0.1, 49: 0.1, 50: 0.01, 60: 0.01}),
    "sysu:hctri_code": (0.1, {0: 0.1, 9: 1, 20: 0.1, 49: 0.1, 50: 0.01, 60: 0.01}),
    "sysu:vsd_eq8": (2.6e-4, {0: 0.109, 9: 1, 208: 1, 209: 0.1, 599: 0.1}),
    "sysu:bdtr": (0.1, AGW),
    "sysu:tone": (0.1, AGW),
    "sysu:tone_batch": (0.1, AGW),
    "sysu:hcml": (0.1, AGW),
    "sysu:hcml_exact": (0.1, AGW),
    "sysu:mac_like": (0.1, AGW),
    "sysu:mace_like": (0.1, AGW),
    "sysu:dfe_like": (0.01, {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01}),
    "sysu:dpmbn_like": (
        0.01,
        {0: 1, 39: 1, 40: 0.1, 59: 0.1, 60: 0.01, 79: 0.01},
    ),
    "sysu:xmodal_released": (3.5e-4, XMODAL),
    "sysu:hc": (0.01, {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01}),
    "sysu:vsd": (2.6e-4, {0: 0.109, 9: 1, 208: 1, 209: 0.1, 599: 0.1}),
    "sysu:mcja": (3.5e-4, {0: 1, 79: 1, 80: 0.1, 119: 0.1, 120: 0.01, 139: 0.01}),
    "regdb:mcja": (3.5e-4, {0: 1, 299: 1}),
    "sysu:deen": (0.1, {0: 0.1, 19: 1, 20: 0.1, 79: 0.1, 80: 0.01, 150: 0.01}),
    "sysu:mmn": (0.1, {0: 0.1, 19: 1, 20: 0.1, 50: 0.01, 80: 0.01}),
    "sysu:xmodal": (3.5e-4, XMODAL),
    "sysu:cmcen": (0.1, {0: 0.1, 9: 1, 10: 0.1, 49: 0.1, 50: 0.01, 80: 0.01}),
    "sysu:cmcen_adv": (0.1, {0: 0.1, 9: 1, 10: 0.1, 49: 0.1, 50: 0.01, 80: 0.01}),
    "sysu:ddag": (0.1, AGW),
    "sysu:dscnet": (0.1, DSCNET),
    "sysu:dscnet_paper": (0.1, DSCNET),
    "sysu:aligngan": (0.2, {0: 1, 49: 1, 50: 1, 199: 1, 200: 0.1, 250: 0.1}),
    "sysu:d2rl_like": (
        3.5e-4,
        {0: 1, 15: 1, 16: 0.109, 25: 1, 55: 1, 56: 0.1, 85: 0.1, 86: 0.1, 135: 0.1},
    ),
    "regdb:d2rl_like": (3.5e-4, {159: 1, 169: 1, 200: 0.1, 230: 0.1, 279: 0.1}),
    "sysu:hicmd": (
        1e-3,
        {0: 1, 49: 1, 50: 0.5, 99: 0.5, 100: 0.25, 149: 0.25, 150: 0.125, 199: 0.125},
    ),
    "regdb:hicmd": (1e-3, {24: 1, 25: 0.5, 49: 0.5, 50: 0.25, 75: 0.125, 99: 0.125}),
    "sysu:jsia": (4.5e-4, {0: 1, 599: 1, 629: 1, 630: 0.1, 649: 0.1}),
    "sysu:jsia_paper": (4.5e-4, {0: 1, 99: 1, 129: 1, 130: 0.1, 149: 0.1}),
    "sysu:cmgan": (0.1, AGW),
    "sysu:cmgan_minmax": (0.1, AGW),
    "sysu:fbp_like": (0.1, AGW),
    "sysu:mtgan_like": (
        3.5e-4,
        {0: 1, 7: 1, 17: 1, 47: 1, 48: 0.1, 77: 0.1, 78: 0.01, 127: 0.01},
    ),
    "regdb:mtgan_like": (3.5e-4, {79: 1, 119: 1, 120: 0.1, 150: 0.01, 199: 0.01}),
    "sysu:mpanet": (3.5e-4, {0: 1, 79: 1, 80: 0.1, 119: 0.1, 120: 0.01, 139: 0.01}),
    "regdb:mpanet": (3.5e-4, {0: 1, 109: 1, 110: 0.1, 139: 0.1}),
    "sysu:saai": (3.5e-4, SAAI),
    "sysu:saai_paper": (3.5e-4, SAAI),
    "sysu:pdm": (0.1, PDM),
    "sysu:pdm_tri": (0.1, PDM),
    "sysu:adca": (
        3.5e-4,
        {0: 1, 19: 1, 20: 0.1, 40: 0.01, 49: 0.01, 50: 1, 69: 1, 70: 0.1, 99: 0.01},
    ),
    "regdb:pgm": (
        3.5e-4,
        {0: 1, 9: 1, 10: 0.1, 20: 0.01, 29: 0.01, 30: 1, 40: 0.1, 50: 0.01, 59: 0.01},
    ),
    # epochs from 1: a third and two thirds of the way from .01, then on the cosine
    "sysu:pmt": (
        3e-4,
        {
            0: 0.34,
            1: 0.67,
            2: 0.01 + 0.99 * (2 + 2**0.5) ** 0.5 / 4 + 0.99 / 2,  # cos(pi / 8)
            5: 0.01 + 0.99 * (0.5 + 0.125**0.5),
            11: 0.505,
            23: 0.01,
        },
    ),
    "regdb:pmt": (3e-4, {0: 0.34, 1: 0.67, 8: 0.505 + 0.495 * 0.5**0.5, 35: 0.01}),
    "sysu:pdm_paper": (
        0.1,
        {0: 0.1, 9: 1, 79: 1, 80: 0.1, 119: 0.1, 120: 0.01, 149: 0.01},
    ),
}
# peaks of players whose optimiser is their own; their factors are the run's
PEAKS = {
    "aligngan": {
        **dict.fromkeys(("generators_alone", "generators"), 2e-4),
        **dict.fromkeys(("visible_alone", "infrared_alone"), 2e-4),
        **dict.fromkeys(("visible", "infrared"), 2e-4),
    },
    "mtgan_like": dict.fromkeys(("generators", "visible", "infrared"), 2e-4),
    "d2rl_like": dict.fromkeys(
        ("generators_alone", "generators", "discriminators"), 1e-4
    ),
    "hicmd": {"discriminators": 1e-4, "generators": 1e-4},
    "jsia": {"discriminators": 1e-4, "generators": 1e-4},
    "jsia_paper": {"discriminators": 2e-4, "generators": 2e-4},
    "cmgan_minmax": {"encoder": 0.01, "discriminator": 0.1},
}


@pytest.mark.parametrize("spec", RATES)
def test_learning_rates_by_epoch(spec):
    config = load(spec)
    peak, factors = RATES[spec]
    assert config.optimizer.lr == peak and max(factors) == config.schedule.epochs - 1
    config.steps_per_epoch = 7
    peaks = dict.fromkeys(config.players or [""], peak)
    peaks |= PEAKS.get(spec.partition(":")[2], {})
    rates = schedules(config, plan(config, None))
    assert rates.keys() == peaks.keys()
    for epoch, factor in factors.items():
        for step in (7 * epoch, 7 * epoch + 6):
            for name, rate in rates.items():
                np.testing.assert_allclose(rate(step), peaks[name] * factor, rtol=1e-6)


def test_a_players_own_schedule_goes_before_a_phases_and_that_before_the_configs():
    config = load("sysu:mtgan_like")
    config.steps_per_epoch = 7
    first, last = config.phases  # both have a schedule
    own = Steps(config.schedule.epochs, warmup=0, drops=((first.epochs, 0.5),))
    config.players["encoder"].schedule = own
    last.schedule = Steps(last.epochs, warmup=0, drops=((0, 0.25),))
    for given, factor in ((last.schedule, 0.25), (None, 1.0)):
        last.schedule = given
        rates = schedules(config, plan(config, None))
        found = {name: float(rate(7 * first.epochs)) for name, rate in rates.items()}
        assert found.pop("encoder") == np.float32(3.5e-4 * 0.5)
        assert set(found.values()) == {np.float32(2e-4 * factor)}


def test_learning_rates_of_all_systems_are_looked_at():
    assert {spec.partition(":")[2] for spec in RATES} == {*narrow.NAMES}


@pytest.mark.parametrize("name", narrow.NAMES)
@pytest.mark.parametrize(
    "data",
    slow_but(["sysu", "regdb", "llcm", "custom", "demo"], quick=["sysu", "demo"]),
)
def test_every_system_is_found_on_every_data_set(data, name):
    config = load(f"{data}:{name}")
    parts.check(config)
    assert config.name == f"{data}-{name}"
    assert from_json(to_json(config)) == config


def sampled(spec):
    sampling = load(spec).sampling
    return sampling.identities, sampling.images


def test_each_data_set_has_the_numbers_of_its_authors():
    sysu, regdb = load("sysu:hctri"), load("regdb:hctri")
    assert (sampled("sysu:hctri"), sampled("regdb:hctri")) == ((6, 8), (8, 4))
    for config, p, weight, smoothing in ((sysu, 3, 1, 0), (regdb, 10, 2, 0.1)):
        assert config.network.branches[0].pool.pool.p == p
        assert config.objective["hc_tri"].weight == weight
        assert config.objective["identity"].smoothing == smoothing
    for spec, stages in (("sysu:rle", 4), ("llcm:rle", 4), ("regdb:rle", 3)):
        assert load(spec).network.trunk.stages == stages
    assert list(load("regdb:deen").network.trunk.before) == ["3"]
    assert (sampled("sysu:mcja"), sampled("regdb:mcja")) == ((8, 16), (4, 32))
    assert (sampled("sysu:dscnet"), sampled("regdb:dscnet")) == ((6, 4), (6, 8))
    assert (sampled("sysu:vsd"), sampled("regdb:vsd")) == ((16, 4), (8, 4))
    assert (sampled("sysu:mpanet"), sampled("regdb:mpanet")) == ((16, 4), (12, 5))
    assert (sampled("sysu:saai"), sampled("regdb:saai")) == ((10, 4), (4, 4))
    for spec, prototypes in (("sysu:saai", 7), ("sysu:saai_paper", 6)):
        assert load(spec).network.branches[0].pool.prototypes == prototypes
    assert (
        load("sysu:saai").network.trunk.after
        and not load("regdb:saai").network.trunk.after
    )
    assert list(load("regdb:pdm").network.trunk.before) == ["1", "3"]
    assert load("regdb:all-rle").data.split == 0
    for spec, epochs in (("sysu:pmt", 24), ("llcm:pmt", 24), ("regdb:pmt", 36)):
        assert load(spec).schedule.epochs == epochs
    for spec, steps in (("sysu:adca", 200), ("regdb:adca", 100)):
        assert load(spec).sampling.steps == steps
    assert load("sysu:pgm").memory.hardest and not load("regdb:pgm").memory.hardest
    greys = [
        sum(type(x).__name__ == "Grey" for x in load(s).views["visible"].pipe)
        for s in ("sysu:rle", "regdb:rle", "sysu:caj_plus", "regdb:caj_plus")
    ]
    assert greys == [0, 1, 1, 0]


def test_the_papers_numbers_stay():
    assert sampled("sysu:full") == (8, 4)
    assert sampled("regdb:full") == sampled("llcm:full") == (6, 4)
    assert load("llcm:full").size == (384, 144)


def test_an_unknown_system_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no system 'mcj'; did you mean mcja"):
        load("sysu:mcj")


@pytest.mark.parametrize(
    "file", [m.name for m in pkgutil.iter_modules(narrow.systems.__path__)]
)
def test_published_numbers_stand_in_the_heads_of_their_files(file):
    module = importlib.import_module(f"jreid.configs.systems.{file}")
    number = r"(\d+(?:\.\d+)?)"
    pairs = re.findall(rf"{number}\s*/\s*{number}", module.__doc__ or "")
    printed = {(float(a), float(b)) for a, b in pairs}
    assert set(module.PUBLISHED) <= set(module.SYSTEMS)
    for name, found in module.PUBLISHED.items():
        assert found and set(found.values()) <= printed
        assert narrow.systems.published()[name].keys() <= set(
            narrow.systems.SETTINGS.values()
        )


def test_a_network_whose_parts_do_not_fit_is_refused():
    network = load("sysu:dpmbn_like").network
    network.tail_from = (5, 0)
    with pytest.raises(ValueError, match=r"tail_from is \(5, 0\)"):
        network.check()
    network.tail_from, network.branches[3].tail = (3, 1), "four"
    with pytest.raises(ValueError, match=r"branches.3.tail is 'four'.*'one', 'two'"):
        network.check()
    network = load("sysu:hc").network
    network.private_stages = 6
    with pytest.raises(ValueError, match="private_stages is 6; allowed is 1 to 5"):
        network.check()


@pytest.mark.parametrize(
    "name", ["aligngan", "d2rl_like", "hicmd", "jsia", "mtgan_like"]
)
def test_a_player_that_the_network_does_not_know_is_refused(name):
    config = load(f"sysu:{name}")
    first, *others = config.players
    config.players["coder"] = config.players.pop(first)
    names = r"(\w+, )*" + ", ".join(others[:1])
    with pytest.raises(ValueError, match=f"players has 'coder'; allowed.*are {names}"):
        parts.check(config)


def test_branches_and_adversaries_that_do_not_fit_are_refused():
    network = load("sysu:ddag").network
    network.branches[1].shares = "v2"
    with pytest.raises(ValueError, match=r"branches.1.shares is 'v2'.*\['v1'\]"):
        network.check()
    network.branches[1].shares, network.of = "v1", "v2"
    with pytest.raises(ValueError, match=r"of is 'v2'; allowed .*\['v1', 'parts'\]"):
        network.check()
    network.of = "v1"
    branch = load("sysu:fbp_like").network.branches[1]
    branch.pool.prototypes = 3
    with pytest.raises(ValueError, match="classifier.parts is 6; allowed .* has, 3"):
        branch.check()
    network.discriminators = {"graph": load("sysu:cmgan").network.discriminators}
    with pytest.raises(ValueError, match="discriminators.graph is .* needs make"):
        network.check()
    network.discriminators = load("sysu:cmgan").network.discriminators
    network.check()
    network.discriminators["parts"] = network.discriminators["modality"]
    with pytest.raises(ValueError, match="discriminators has 'parts'"):
        network.check()


@pytest.mark.parametrize("spec", ["sysu:fbp_like", "llcm:fbp_like", "demo:fbp_like"])
def test_masks_that_triplets_would_close_learn_slowly(spec):
    groups = load(spec).optimizer.groups
    for name in ("pool/prototypes", "pool/positions", "classifier/scores"):
        assert lr_factor(groups, f"branches/parts/{name}") == 0.01
    assert lr_factor(groups, "branches/parts/classifier/kernel") == 1


def test_pretrained_weights_reach_every_residual_block():
    """The blocks of a stage that tails cut are counted from 0 in them."""
    names = load("sysu:dpmbn_like").network.torch_names()
    assert names["tails/two/layer3/0"] == "trunk/layer3/1"
    assert names["tails/two/layer3/4"] == "trunk/layer3/5"
    assert list(names).index("tails/two") > list(names).index("tails/two/layer3/4")
    names = load("sysu:hctri").network.torch_names()
    assert names["stems/visible/trunk"] == "trunk"
    assert list(names).index("stems/visible") > list(names).index("stems/visible/trunk")
