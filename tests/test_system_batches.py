"""The batches of published systems, by data set, against a table made by hand.

Of each: size, identities and images (or pairs) of a batch, epochs, steps of an epoch,
the augmentations of a visible and of an infrared image in order; and its optimisers.
"""

import numpy as np
import pytest

from jreid.config_files import load
from jreid.data.cluster_sampling import PerCluster
from jreid.data.datasets import Images
from jreid.data.pair_sampling import RandomPairs
from jreid.data.views import modality_of

COUNTS = {"sysu": (22_258, 11_909), "regdb": (2_060, 2_060), "llcm": (16_946, 13_975)}
IDENTITIES = {"sysu": 395, "regdb": 206, "llcm": 713}
CROP = "PadCrop Flip"
ENHANCED = f"{CROP} LinearMix LinearPatches Erase"
GREYED = "PadCrop Grey Flip LinearMix LinearPatches Erase"  # a border of 0 stays grey
MIXED = "OneOf Flip PadCrop EraseNormalised"
SELECT = "EraseNormalised ChannelSelect"
ON_CAJ = f"{CROP} EraseNormalised", f"{CROP} {SELECT}"
FLIPPED_FIRST = "Flip PadCrop EraseNormalised"
CHANNEL_OF_SAAI = "Flip PadCrop RandomChannel EraseNormalised"
ON_DEEN = "PadCrop Grey Flip EraseNormalised"
ON_PMT = "Flip EraseNormalised", "Flip OneOf EraseNormalised"
# spec -> size, P, K, epochs, steps of an epoch, visible and infrared augmentations
BATCHES = {
    "sysu:rle": ((384, 192), 6, 4, 151, 928, ENHANCED, ENHANCED),
    "regdb:rle": ((384, 192), 6, 4, 151, 86, GREYED, GREYED),
    "llcm:rle": ((384, 192), 6, 4, 151, 707, GREYED, GREYED),
    "sysu:rle_paper": ((384, 192), 4, 6, 151, 928, ENHANCED, ENHANCED),
    "sysu:strong": ((384, 192), 6, 4, 151, 928, ENHANCED, ENHANCED),
    "sysu:agw": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "regdb:agw": ((288, 144), 8, 4, 81, 65, CROP, CROP),
    "llcm:agw": ((288, 144), 8, 4, 81, 530, *2 * (f"{CROP} EraseNormalised",)),
    "sysu:baseline": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:caj": ((288, 144), 8, 4, 100, 696, *ON_CAJ),
    "regdb:caj": ((288, 144), 8, 4, 100, 65, *ON_CAJ),
    "sysu:caj_plus": (
        *((288, 144), 8, 4, 100, 696),
        *(f"{CROP} Grey EraseNormalised", f"{CROP} {SELECT}"),
    ),
    "regdb:caj_plus": ((288, 144), 8, 4, 100, 65, *ON_CAJ),
    "sysu:hctri": ((288, 144), 6, 8, 61, 464, CROP, CROP),
    "regdb:hctri": ((288, 144), 8, 4, 61, 65, CROP, CROP),
    "sysu:hctri_code": ((288, 144), 8, 4, 61, 696, CROP, CROP),
    "sysu:hc": ((288, 144), 4, 8, 61, 696, "Flip", "Flip"),
    "sysu:vsd": ((256, 128), 16, 4, 600, 24, "Flip", "Flip"),
    "regdb:vsd": ((256, 128), 8, 4, 600, 25, "Flip", "Flip"),
    "sysu:mcja": ((384, 192), 8, 16, 140, 246, MIXED, MIXED[6:]),
    "regdb:mcja": ((384, 192), 4, 32, 300, 51, MIXED, MIXED[6:]),
    "sysu:deen": ((384, 144), 6, 4, 151, 928, ON_DEEN, ON_DEEN),
    "llcm:deen": ((384, 144), 6, 4, 151, 707, ON_DEEN, ON_DEEN),
    "sysu:mmn": ((384, 192), 4, 4, 81, 1392, *2 * (f"{CROP} EraseNormalised",)),
    "sysu:xmodal": ((256, 128), 12, 4, 120, 464, FLIPPED_FIRST, FLIPPED_FIRST),
    "sysu:cmcen": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:bdtr": ((288, 144), 64, 1, 81, 348, CROP, CROP),
    "sysu:tone": ((288, 144), 64, 1, 81, 348, CROP, CROP),  # pairs
    "sysu:hcml": ((288, 144), 64, 1, 81, 348, CROP, CROP),
    "sysu:mac_like": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:mace_like": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:dfe_like": ((384, 128), 4, 8, 61, 696, CROP, CROP),
    "sysu:dpmbn_like": ((384, 128), 8, 4, 80, 696, CROP, CROP),
    "sysu:fbp_like": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:cmcen_adv": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:cmgan": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:cmgan_minmax": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:ddag": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "regdb:ddag": ((288, 144), 8, 4, 81, 65, CROP, CROP),
    "llcm:ddag": ((288, 144), 8, 4, 81, 530, CROP, CROP),
    "sysu:dscnet": ((288, 144), 6, 4, 200, 928, *ON_CAJ),
    "sysu:dscnet_paper": ((288, 144), 6, 4, 200, 928, *ON_CAJ),
    "regdb:dscnet": ((288, 144), 6, 8, 200, 43, *ON_CAJ),
    # groups of as many images of both modalities: 7 of each identity on SYSU-MM01 here
    "sysu:mpanet": ((384, 128), 16, 4, 140, 172, FLIPPED_FIRST, FLIPPED_FIRST),
    "regdb:mpanet": ((256, 128), 12, 5, 140, 34, FLIPPED_FIRST, FLIPPED_FIRST),
    "sysu:saai": ((288, 144), 10, 4, 160, 276, CHANNEL_OF_SAAI, CHANNEL_OF_SAAI),
    "regdb:saai": ((288, 144), 4, 4, 160, 103, CHANNEL_OF_SAAI, CHANNEL_OF_SAAI),
    "sysu:pdm": ((384, 192), 8, 4, 200, 696, *2 * (f"{ON_DEEN} PhaseResidual",)),
    "sysu:pdm_tri": ((384, 192), 8, 4, 200, 696, *2 * (f"{ON_DEEN} PhaseResidual",)),
    "sysu:pdm_paper": ((384, 192), 8, 4, 150, 696, *2 * (f"{ON_DEEN} PhaseResidual",)),
    "regdb:pdm": ((384, 192), 8, 4, 200, 65, *2 * (f"{ON_DEEN} PhaseResidual",)),
    "llcm:pdm": ((384, 192), 8, 4, 200, 530, *2 * (f"{ON_DEEN} PhaseResidual",)),
    "sysu:pmt": ((256, 128), 8, 4, 24, 696, *ON_PMT),
    "regdb:pmt": ((256, 128), 8, 4, 36, 65, *ON_PMT),
    # visible and infrared clusters, images of each; two stages
    "sysu:adca": ((288, 144), (8, 16), 16, 100, 200, *ON_CAJ),
    "regdb:adca": ((288, 144), (8, 16), 16, 100, 100, *ON_CAJ),
    "sysu:pgm": ((288, 144), (8, 16), 16, 100, 200, *ON_CAJ),
    "regdb:pgm": ((288, 144), (8, 16), 16, 60, 100, *ON_CAJ),
    # the generators' images; epochs of all phases
    "sysu:aligngan": ((128, 128), 4, 4, 251, 100, "Flip", "Flip"),
    "sysu:jsia": ((256, 128), 3, 3, 650, 200, "Flip", "Flip"),
    "sysu:jsia_paper": ((256, 128), 3, 3, 150, 200, "Flip", "Flip"),
    # two pairs to translate and two as negatives, 200 and 100 thousand steps
    "sysu:hicmd": ((256, 128), 4, 1, 200, 1000, "Flip", "Flip"),
    "regdb:hicmd": ((256, 128), 4, 1, 100, 1000, "Flip", "Flip"),
    "sysu:d2rl_like": ((256, 128), 8, 4, 136, 696, CROP, CROP),
    "regdb:d2rl_like": ((256, 128), 8, 4, 280, 65, CROP, CROP),
    "sysu:mtgan_like": ((256, 128), 8, 4, 128, 696, CROP, CROP),
    "regdb:mtgan_like": ((256, 128), 8, 4, 200, 65, CROP, CROP),
}
SGD = {"weight_decay": 5e-4, "momentum": 0.9, "nesterov": True}
ADAM = {"weight_decay": 5e-4, "beta1": 0.9, "beta2": 0.999}
DECAYS = {"hicmd": 1e-4, "pmt": 1e-4}
# of players that have an Adam of their own: its decay
DECAYS_OF_PLAYERS = {
    "aligngan": 0.0,
    "mtgan_like": 0.0,
    "d2rl_like": 1e-4,
    "hicmd": 1e-4,
    "jsia": 1e-4,
    "jsia_paper": 1e-4,
}


def images(data):
    """As many training images of each modality, of identities, as the data set has.

    Each has as many as any other, so that groups of one identity are other than there.
    """
    modality = np.repeat([0, 1], COUNTS[data])
    ids = np.arange(len(modality)) % IDENTITIES[data]
    return Images(np.empty(len(modality), "U1"), ids, ids, modality)


def augmented(config, modality):
    """Names of the augmentations of the first view that shows the modality."""
    view = next(v for v in config.views.values() if modality_of(v) in (modality, ""))
    pipe = view.pipe[modality] if isinstance(view.pipe, dict) else view.pipe
    return " ".join(type(part).__name__ for part in (*pipe, *view.device))


def drawn_by(sampling):
    """Identities and images of each; pairs; or clusters of both modalities."""
    if isinstance(sampling, RandomPairs):
        return sampling.pairs, 1
    if isinstance(sampling, PerCluster):
        return (sampling.visible, sampling.infrared), sampling.images
    return sampling.identities, sampling.images


@pytest.mark.parametrize("spec", BATCHES)
def test_batches_and_augmentations(spec):
    config, sampling = load(spec), load(spec).sampling
    steps = config.steps_per_epoch or sampling.steps_per_epoch(
        images(spec.partition(":")[0])
    )
    drawn = drawn_by(sampling)
    found = config.size, *drawn, config.schedule.epochs, steps
    names = (augmented(config, m) for m in ("visible", "infrared"))
    assert (*found, *names) == BATCHES[spec]
    for view in config.views.values():
        for pipe in view.pipe.values() if isinstance(view.pipe, dict) else [view.pipe]:
            for part in pipe:
                assert getattr(part, "pixels", 10) == 10
                assert type(part).__name__ != "Flip" or part.p == 0.5
    optimizer, own = config.optimizer, type(config.optimizer).__name__
    decay = DECAYS.get(spec.partition(":")[2], 5e-4)
    for field, value in (SGD if own == "SGD" else ADAM).items():
        expected = decay if field == "weight_decay" else value
        assert getattr(optimizer, field) == expected, field


@pytest.mark.parametrize("system", DECAYS_OF_PLAYERS)
def test_optimisers_of_players_that_make_and_judge_images(system):
    players = load(f"sysu:{system}").players.values()
    own = [player.optimizer for player in players if player.optimizer]
    assert own
    for optimizer in own:
        assert (optimizer.beta1, optimizer.beta2) == (0.5, 0.999)
        assert optimizer.weight_decay == DECAYS_OF_PLAYERS[system]
