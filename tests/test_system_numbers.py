"""The numbers of published systems, by data set, against a table made by hand.

Of each: size, identities and images (or pairs) of a batch, epochs, steps of an epoch,
the augmentations of a visible and of an infrared image in order, and what else differs
from the defaults of its parts.
"""

import numpy as np
import pytest

from jreid.config_files import load
from jreid.data.datasets import Images
from jreid.data.views import modality_of

COUNTS = {"sysu": (22_258, 11_909), "regdb": (2_060, 2_060), "llcm": (16_946, 13_975)}
IDENTITIES = {"sysu": 395, "regdb": 206, "llcm": 713}
CROP = "PadCrop Flip"
ENHANCED = f"{CROP} LinearMix LinearPatches Erase"
GREYED = "PadCrop Grey Flip LinearMix LinearPatches Erase"  # a border of 0 stays grey
MIXED = "OneOf Flip PadCrop EraseNormalised"
SELECT = "EraseNormalised ChannelSelect"
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
    "sysu:caj": (
        *((288, 144), 8, 4, 100, 696),
        *(f"{CROP} EraseNormalised", f"{CROP} {SELECT}"),
    ),
    "regdb:caj": (
        *((288, 144), 8, 4, 100, 65),
        *(f"{CROP} EraseNormalised", f"{CROP} {SELECT}"),
    ),
    "sysu:caj_plus": (
        *((288, 144), 8, 4, 100, 696),
        *(f"{CROP} Grey EraseNormalised", f"{CROP} {SELECT}"),
    ),
    "regdb:caj_plus": (
        *((288, 144), 8, 4, 100, 65),
        *(f"{CROP} EraseNormalised", f"{CROP} {SELECT}"),
    ),
    "sysu:hctri": ((288, 144), 6, 8, 61, 464, CROP, CROP),
    "regdb:hctri": ((288, 144), 8, 4, 61, 65, CROP, CROP),
    "sysu:hctri_code": ((288, 144), 8, 4, 61, 696, CROP, CROP),
    "sysu:hc": ((288, 144), 4, 8, 61, 696, "Flip", "Flip"),
    "sysu:vsd": ((256, 128), 16, 4, 600, 24, "Flip", "Flip"),
    "regdb:vsd": ((256, 128), 8, 4, 600, 25, "Flip", "Flip"),
    "sysu:mcja": ((384, 192), 8, 16, 140, 246, MIXED, MIXED[6:]),
    "regdb:mcja": ((384, 192), 4, 32, 300, 51, MIXED, MIXED[6:]),
    "sysu:deen": (
        *((384, 144), 6, 4, 151, 928),
        *2 * ("PadCrop Grey Flip EraseNormalised",),
    ),
    "llcm:deen": (
        *((384, 144), 6, 4, 151, 707),
        *2 * ("PadCrop Grey Flip EraseNormalised",),
    ),
    "sysu:mmn": ((384, 192), 4, 4, 81, 1392, *2 * (f"{CROP} EraseNormalised",)),
    "sysu:xmodal": (
        *((256, 128), 12, 4, 120, 464),
        *2 * ("Flip PadCrop EraseNormalised",),
    ),
    "sysu:cmcen": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:bdtr": ((288, 144), 64, 1, 81, 348, CROP, CROP),
    "sysu:tone": ((288, 144), 64, 1, 81, 348, CROP, CROP),  # pairs
    "sysu:hcml": ((288, 144), 64, 1, 81, 348, CROP, CROP),
    "sysu:mac_like": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:mace_like": ((288, 144), 8, 4, 81, 696, CROP, CROP),
    "sysu:dfe_like": ((384, 128), 4, 8, 61, 696, CROP, CROP),
    "sysu:dpmbn_like": ((384, 128), 8, 4, 80, 696, CROP, CROP),
}
CHANNELS = "views.channel.device.1.channels", "views.infrared.device.1.channels"
GREYS = "views.channel.device.1.grey", "views.infrared.device.1.grey"
ERASED = "views.visible.device.0"
ERASED_BY_TORCHVISION = {
    f"{ERASED}.p": 0.5,
    f"{ERASED}.area": (0.02, 0.33),
    f"{ERASED}.aspect": (0.3, 3.3),
    f"{ERASED}.aspect_law": "log-uniform",
}
CAJ = {
    f"{ERASED}.area": (0.02, 0.4),
    f"{ERASED}.value": (0.4914, 0.4822, 0.4465),
    **dict(zip(CHANNELS, (1.0, 0.75), strict=True)),
    "views.channel.same_image_as": "visible",
    "objective.triplet.limit": 88.0,
    "objective.divergence.temperature": 3.0,
    "objective.divergence.weight": 0.0,
}
SGD = {"weight_decay": 5e-4, "momentum": 0.9, "nesterov": True}
ADAM = {"weight_decay": 5e-4, "beta1": 0.9, "beta2": 0.999}
# spec -> fields by their paths
NUMBERS = {
    "sysu:rle": {
        "views.visible.pipe.2.beta": 0.3,
        "views.visible.pipe.3.beta": 0.4,
        "views.visible.pipe.3.threshold": 0.1,
        "views.infrared.pipe.4.value": (125, 123, 114),
        "views.infrared.pipe.4.area": (0.02, 0.4),
        "objective.triplet_global.margin": 0.3,
        "objective.identity_stripes.smoothing": 0.0,
        "network.trunk.stages": 4,
        "network.trunk.last_stride": 1,
    },
    "regdb:rle": {"network.trunk.stages": 3, "views.visible.pipe.1.p": 0.5},
    "regdb:strong": {"network.trunk.stages": 3},
    "sysu:agw": {
        "resize": "lanczos",
        "network.branches.0.pool.p": 3.0,
        "network.branches.0.pool.learn": False,
        "objective.wrt.form": "agw",
        "objective.wrt.weight": 1.0,
    },
    "llcm:agw": {f"{ERASED}.p": 0.5, f"{ERASED}.value": (0.0, 0.0, 0.0)},
    "sysu:baseline": {"objective.triplet.margin": 0.3, "network.trunk.after": {}},
    "sysu:caj": CAJ | {f"{ERASED}.p": 0.5, GREYS[0]: 0.0, GREYS[1]: 0.125},
    "sysu:caj_plus": CAJ
    | {
        f"{ERASED}.p": 0.6,
        "views.channel.device.0.p": 0.6,
        "views.infrared.device.0.p": 0.5,
        "views.visible.pipe.2.p": 0.1,
        GREYS[1]: 0.15,
        "objective.agreement.weight": 1.0,
    },
    "regdb:caj_plus": CAJ | {f"{ERASED}.p": 0.5, GREYS[1]: 0.125},
    "sysu:hctri": {
        "network.private_stages": 2,
        "network.branches.5.project.features": 256,
        "network.branches.5.project.relu": True,
        "network.branches.5.pool.pool.p": 3.0,
        "network.branches.5.classifier.bias": True,
        "network.branches.5.neck": False,
        "objective.hc_tri.weight": 1.0,
        "objective.hc_tri_whole.weight": 1.0,
        "objective.hc_tri.margin": 0.3,
        "objective.identity.smoothing": 0.0,
    },
    "regdb:hctri": {
        "network.branches.5.pool.pool.p": 10.0,
        "network.trunk.stages": 4,
        "objective.hc_tri.weight": 2.0,
        "objective.hc_tri_whole.weight": 1.0,
        "objective.identity.smoothing": 0.1,
    },
    "sysu:hctri_code": {
        "network.branches.5.pool.pool.p": 10.0,
        "objective.hc_tri.weight": 2.0,
        "objective.identity.smoothing": 0.1,
    },
    "sysu:hc": {
        "network.private_stages": 5,
        "network.branches.5.project.features": 512,
        "network.branches.5.project.scale_std": 0.01,
        "network.branches.5.classifier.slope": 0.1,
        "objective.hetero_centre.weight": 0.5,
        "objective.hetero_centre.normalise": True,
        "objective.hetero_centre.margin": 0.0,
    },
    "sysu:vsd": {
        "network.hidden": (1000, 500),
        "network.features": 512,
        "network.head": 256,
        "network.dropout": 0.5,
        "objective.identity.smoothing": 0.1,
        "objective.rank.margin_within": 0.9,
        "objective.rank.reach_within": 2.2,
        "objective.rank.margin_across": 1.0,
        "objective.rank.reach_across": 2.0,
        "objective.mutual.weight": 8.0,
        "objective.mutual.epsilon": 0.01,
        "objective.mutual.rounds": 100,
        "objective.mutual.tolerance": 0.1,
        "objective.vsd_visible.weight": 2.0,
        "objective.vcd_visible_shared.weight": 1.0,
        "objective.vcd_visible_shared.teacher": "logits.infrared_shared",
        "objective.vcd_visible_shared.on": "logits.z_visible_shared",
        "evaluation.draw": "official",
    },
    "sysu:mcja": {
        "network.trunk.last_stride": 2,
        "network.stems": ("any",),
        "objective.identity.smoothing": 0.0,
        "objective.retrieval.strength": 0.5,
        "objective.retrieval.on": "embeddings.v1",
        "views.any.pipe.visible.0.choices.0.turn": 0.2,
        "views.any.pipe.visible.0.choices.2.area": (0.02, 0.33),
        "views.any.pipe.visible.0.choices.2.aspect": (0.3, 3.3),
        "views.any.pipe.visible.0.choices.2.aspect_law": "log-uniform",
        "views.any.pipe.visible.2.fill": 127,
        "views.any.device.0.area": (0.02, 0.3),
        "views.any.device.0.aspect": (0.3, 3.3),
        "views.any.device.0.aspect_law": "log-uniform",
        "views.any.device.0.value": (0.0, 0.0, 0.0),
        "evaluation.draw": "official",
    },
    "sysu:mpanet": ERASED_BY_TORCHVISION | {f"{ERASED}.value": (0.0, 0.0, 0.0)},
    "sysu:saai": ERASED_BY_TORCHVISION | {f"{ERASED}.value": "noise"},
    "sysu:deen": {
        f"{ERASED}.aspect_law": "uniform",
        f"{ERASED}.area": (0.2, 0.8),
        f"{ERASED}.value": (0.485, 0.456, 0.406),
        "objective.triplet.margin": 0.3,
        "objective.pair_mining.weight": 0.8,
        "objective.pair_mining.margin": 0.2,
        "objective.pair_mining.copies": 2,
        "objective.orthogonality.weight": 0.01,
        "network.trunk.before.4.dropout": 0.01,
        "network.trunk.after.1.folded": True,
    },
    "regdb:deen": {f"{ERASED}.area": (0.02, 0.4), "network.trunk.stages": 3},
    "llcm:deen": {f"{ERASED}.area": (0.02, 0.4), "network.trunk.stages": 4},
    "sysu:mmn": {
        f"{ERASED}.value": (0.0, 0.0, 0.0),
        "objective.triplet.margin": 0.3,
        "objective.triplet.reduction": "mean",
        "objective.middle.weight": 0.2,
        "objective.middle.width": 256,
        "network.adapters.of.infrared.initial": 0.333,
        "network.adapters.in_test": True,
    },
    "sysu:xmodal": {
        f"{ERASED}.value": (0.485, 0.456, 0.406),
        "network.trunk.stem_relu": False,
        "network.adapters.of.visible.initial": 0.333,
        "network.adapters.in_test": False,
        "objective.identity.weight": 3.0,
        "objective.identity.smoothing": 0.1,
        "objective.triplet.margin": 0.3,
        "objective.triplet.reduction": "sum",
        "objective.cross_visible.weight": 0.2,
        "objective.cross_made.weight": 0.2,
        "objective.cross_made.margin": 0.5,
        "objective.cross_made.exchanged": False,
    },
    "sysu:xmodal_released": {
        "objective.cross_visible.exchanged": True,
        "objective.cross_made.exchanged": True,
    },
    "sysu:cmcen": {
        "network.private_stages": 3,
        "network.trunk.before.3.threshold": 0.7,
        "network.trunk.before.3.released_test": False,
        "memory.threshold": 0.7,
        "memory.params": "trunk/before/layer3/norm/scale",
        "network.branches.0.pool.learn": False,
        "objective.triplet.form": "agw",
        "objective.triplet.weight": 1.0,
    },
    "sysu:bdtr": {
        "network.branches.0.neck": False,
        "objective.birank.margin_across": 0.5,
        "objective.birank.margin_within": 0.1,
        "objective.birank.within": 0.1,
    },
    "sysu:tone": {
        "sampling.alike": 0.5,
        "objective.contrastive.weight": 0.2,
        "objective.contrastive.margin": 0.5,
        "objective.contrastive.normalise": "row",
    },
    "sysu:adca": {"between_epochs.eps": 0.6},
    "regdb:adca": {"between_epochs.eps": 0.3},
    "sysu:pgm": {"between_epochs.eps": 0.6},
    "regdb:pgm": {"between_epochs.eps": 0.3},
    "sysu:tone_batch": {"objective.contrastive.normalise": "batch"},
    "sysu:hcml": {
        "after_training.dimensions": 600,
        "after_training.iterations": 300,
        "after_training.exact": False,
        "embedding.measure": "euclidean",
    },
    "sysu:hcml_exact": {"after_training.exact": True},
    "sysu:mac_like": {
        "objective.own_agrees.weight": 1.0,
        "objective.own_agrees.target": ("logits.v1",),
        "objective.shared_agrees.target": ("logits.own_v1",),
    },
    "sysu:mace_like": {
        "objective.identity_ensemble.on": (("logits.v1", 0.5), ("logits.own_v1", 0.5)),
        "objective.own_agrees.target": ("logits.v1", "logits.own_v1"),
    },
    "sysu:dfe_like": {
        "network.stems": ("any",),
        "network.branches.5.project.features": 256,
        "network.branches.5.project.relu": False,
        "objective.distribution.weight": 1.0,
        "objective.correlation.weight": 1.0,
    },
    "sysu:dpmbn_like": {
        "network.tails": {"one": 2, "two": 1, "three": 1},
        "network.tail_from": (3, 1),
        "network.branches.7.project.features": 256,
        "objective.triplet.margin": 1.2,
    },
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


@pytest.mark.parametrize("spec", BATCHES)
def test_batches_and_augmentations(spec):
    config, sampling = load(spec), load(spec).sampling
    steps = config.steps_per_epoch or sampling.steps_per_epoch(
        images(spec.partition(":")[0])
    )
    drawn = (getattr(sampling, "pairs", 0), 1)
    if not drawn[0]:
        drawn = sampling.identities, sampling.images
    found = config.size, *drawn, config.schedule.epochs, steps
    names = (augmented(config, m) for m in ("visible", "infrared"))
    assert (*found, *names) == BATCHES[spec]
    for view in config.views.values():
        for pipe in view.pipe.values() if isinstance(view.pipe, dict) else [view.pipe]:
            for part in pipe:
                assert getattr(part, "pixels", 10) == 10
                assert type(part).__name__ != "Flip" or part.p == 0.5
    optimizer, own = config.optimizer, type(config.optimizer).__name__
    for field, value in (SGD if own == "SGD" else ADAM).items():
        assert getattr(optimizer, field) == value, field


def value_at(holder, path):
    """The field at a path of fields, keys and places in a tuple."""
    for key in path.split("."):
        if isinstance(holder, dict):
            holder = holder[key]
        else:
            held = isinstance(holder, tuple)
            holder = holder[int(key)] if held else getattr(holder, key)
    return holder


@pytest.mark.parametrize("spec", NUMBERS)
def test_numbers(spec):
    config = load(spec)
    found = {path: value_at(config, path) for path in NUMBERS[spec]}
    assert found == NUMBERS[spec]


@pytest.mark.parametrize(("data", "masks"), [("sysu", 2), ("regdb", 12), ("llcm", 2)])
def test_mcjas_masks(data, masks):
    gates = load(f"{data}:mcja").network.trunk.after
    assert sorted(gates) == ["2.2", "2.3", "3.3", "3.4", "3.5"]
    assert {gate.masks for gate in gates.values()} == {masks}


RESIZED_AS_AGW = (
    *("agw", "baseline", "caj", "caj_plus", "dscnet", "adca", "pgm", "rle", "strong"),
    *("hctri", "hc", "deen", "pdm", "mmn", "ddag", "cmcen", "cmcen_adv", "pmt"),
)


@pytest.mark.parametrize("system", RESIZED_AS_AGW)
def test_released_code_of_agws_family_resizes_with_lanczos(system):
    assert load(f"sysu:{system}").resize == "lanczos"


@pytest.mark.parametrize("system", ["aligngan", "hicmd", "jsia"])
def test_released_code_of_generators_resizes_bicubically(system):
    assert load(f"sysu:{system}").resize == "bicubic"


@pytest.mark.parametrize(
    "system", ["aligngan", "hicmd", "jsia", "mcja", "mpanet", "saai", "vsd"]
)
def test_systems_scored_on_the_official_galleries_of_sysu_mm01(system):
    assert load(f"sysu:{system}").evaluation.draw == "official"
    assert load(f"regdb:{system}").evaluation.draw == "agw"
    assert load(f"demo:{system}").evaluation.draw == "agw"


@pytest.mark.parametrize(("data", "more"), [("sysu", 1), ("regdb", 0)])
def test_pgm_changes_infrared_colours_in_its_first_stage_on_sysu_alone(data, more):
    config = load(f"{data}:pgm")
    first, plain = (x["infrared"] for x in (config.phases[0].views, config.views))
    assert len(first.pipe) == len(plain.pipe) + more
