"""The numbers of published systems, by data set, against a table made by hand.

Of each: what else than batches, augmentations and weights differs from the defaults of
its parts.
"""

import pytest

from jreid.config_files import load

CHANNELS = "views.channel.device.1.channels", "views.infrared.device.1.channels"
GREYS = "views.channel.device.1.grey", "views.infrared.device.1.grey"
ERASED = "views.visible.device.0"
ERASED_BY_TORCHVISION = {
    f"{ERASED}.p": 0.5,
    f"{ERASED}.area": (0.02, 0.33),
    f"{ERASED}.aspect": (0.3, 3.3),
    f"{ERASED}.aspect_law": "log-uniform",
}
VIEWS_OF_CAJ = {
    f"{ERASED}.area": (0.02, 0.4),
    f"{ERASED}.value": (0.4914, 0.4822, 0.4465),
    **dict(zip(CHANNELS, (1.0, 0.75), strict=True)),
    "views.channel.same_image_as": "visible",
}
CAJ = VIEWS_OF_CAJ | {
    "objective.triplet.limit": 88.0,
    "objective.divergence.temperature": 3.0,
    "objective.divergence.weight": 0.0,
}
CMGAN = {
    "network.stems": ("any",),
    "network.trunk.last_stride": 2,
    "network.branches.0.neck": False,
    "network.branches.0.classifier.hidden": (512,),
    "network.discriminators.modality.hidden": (1000, 500),
    "network.discriminators.modality.outputs": 2,
    "network.discriminators.modality.reversal": 0.05,
    "objective.triplet.margin": 1.4,
}
DSCNET = VIEWS_OF_CAJ | {
    f"{ERASED}.p": 0.5,
    "objective.triplet.margin": 0.3,
    "objective.divergence.student": 0,
    "objective.divergence.teacher": 2,
    "objective.divergence.temperature": 3.0,
    "embedding.flip": False,
}
GENERATORS_OF_ALIGNGAN = {
    "network.generator.channels": 64,
    "network.generator.blocks": 4,
    "network.discriminator.channels": 64,
    "network.discriminator.levels": 4,
}
JSIA = {
    "network.trunk.stem_relu": False,
    "network.size": (128, 64),
    "network.style.channels": 32,
    "network.style.halvings": 4,
    "network.style.features": 128,
    "network.decoder.blocks": 2,
    "network.decoder.hidden": 256,
    "network.discriminator.channels": 32,
    "network.discriminator.levels": 4,
    "players.encoder.sampling.identities": 16,
    "players.encoder.sampling.images": 4,
    "players.encoder.objective.identity.smoothing": 0.1,
    "players.encoder.objective.triplet.margin": 0.3,
    "players.discriminators.objective.fake.target": 0.0,
}
JITTER = "brightness", "contrast", "saturation", "hue"
CLUSTERS = {
    "between_epochs.samples": 4,
    "between_epochs.k1": 30,
    "between_epochs.k2": 6,
    "objective.visible.temperature": 0.05,
    "objective.infrared.temperature": 0.05,
    "embedding.flip": True,
}
BOTH_OF_PDM = ("features.v1", 1.0), ("features.v2", 1.0)
PDM = {
    "views.visible.pipe.1.p": 0.5,
    f"{ERASED}.p": 0.5,
    f"{ERASED}.value": (0.485, 0.456, 0.406),
    "views.visible.device.1.strength": 0.8,
    "views.infrared.device.1.strength": 0.8,
    "network.trunk.before.4.dropout": 0.01,
    "network.trunk.before.4.between.reduction": 16,
    "network.trunk.before.4.between.kernel": 49,
    "network.trunk.after.1.folded": True,
    "network.branches.1.pool.prototypes": 10,
    "network.branches.1.pool.size": (24, 12),
    "objective.triplet.on": "features.v1",
    "objective.triplet.margin": 0.3,
    "objective.pair_mining.on": BOTH_OF_PDM,
    "objective.pair_mining.margin": 0.2,
    "objective.centres.on": "features.v2",
    "objective.centres.inner": 0.01,
    "objective.centres.outer": 0.7,
    "embedding.flip": True,
    "embedding.features": 0.0,
}
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
    "sysu:mpanet": ERASED_BY_TORCHVISION
    | {
        f"{ERASED}.value": (0.0, 0.0, 0.0),
        "views.visible.pipe.1.fill": 127,
        "network.stems": ("any",),
        "network.trunk.last_stride": 1,
        "network.trunk.after.3.reduction": 16,
        "network.trunk.after.4.reduction": 16,
        "network.branches.0.pool.masks": 6,
        "objective.centres.inner": 0.0,
        "objective.centres.outer": 0.7,
        "objective.teacher.form": "divergence",
        "memory.rate": 0.2,
        "memory.falls": 100,
    },
    "sysu:saai": ERASED_BY_TORCHVISION
    | {
        f"{ERASED}.value": "noise",
        "views.visible.pipe.1.fill": "symmetric",
        "views.visible.pipe.2.p": 3 / 11,
        "views.infrared.pipe.2.p": 3 / 11,
        "network.stems": ("any",),
        "network.trunk.last_stride": 1,
        "network.trunk.after.3.reduction": 16,
        "network.branches.0.pool.prototypes": 7,
        "network.branches.0.pool.size": (18, 9),
        "network.branches.0.neck_of": "modality",
        "objective.centres.inner": 0.01,
        "objective.centres.outer": 0.7,
        "objective.teacher.form": "cross_entropy",
        "memory.rate": 0.02,
        "memory.falls": 100,
    },
    "regdb:saai": {
        "network.trunk.after": {},
        "network.branches.0.pool.prototypes": 7,
        "memory.rate": 0.02,
    },
    "sysu:saai_paper": {"network.branches.0.pool.prototypes": 6, "memory.rate": 0.2},
    "regdb:saai_paper": {"network.branches.0.pool.prototypes": 7, "memory.rate": 0.2},
    "sysu:pdm": PDM | {f"{ERASED}.area": (0.2, 0.8), "network.trunk.stages": 4},
    "sysu:pdm_paper": PDM | {f"{ERASED}.area": (0.2, 0.8)},
    "sysu:pdm_tri": PDM | {"objective.triplet.on": BOTH_OF_PDM},
    "regdb:pdm": {f"{ERASED}.area": (0.02, 0.4), "network.trunk.stages": 3},
    "llcm:pdm": {f"{ERASED}.area": (0.02, 0.4), "network.trunk.stages": 4},
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
    "sysu:adca": VIEWS_OF_CAJ
    | CLUSTERS
    | {
        "network.trunk.after": {},
        "between_epochs.eps": 0.6,
        "between_epochs.aggregate_from": 50,
        "between_epochs.alike": 0.5,
        "between_epochs.keep": 0.1,
        "memory.keep": 0.1,
        "phases.0.epochs": 50,
        "phases.1.epochs": 50,
    },
    "regdb:adca": {"between_epochs.eps": 0.3, "memory.keep": 0.1},
    "sysu:pgm": VIEWS_OF_CAJ
    | CLUSTERS
    | {
        "between_epochs.eps": 0.6,
        "between_epochs.aggregate_from": -1,
        "between_epochs.match_from": 50,
        "memory.keep": 0.2,
        "memory.hardest": True,
        "memory.cross_from": 50,
        "objective.cross.cross_from": 50,
        "objective.cross.temperature": 0.05,
        "phases.0.epochs": 50,
        "phases.1.epochs": 50,
        **{f"views.channel.pipe.2.{kind}": 0.5 for kind in JITTER},
        **{f"phases.0.views.infrared.pipe.2.{kind}": 0.5 for kind in JITTER},
    },
    "regdb:pgm": {
        "between_epochs.eps": 0.3,
        "between_epochs.match_from": 30,
        "memory.keep": 0.2,
        "memory.hardest": False,
        "memory.cross_from": 30,
        "objective.cross.cross_from": 30,
        "phases.0.epochs": 30,
        "phases.1.epochs": 30,
    },
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
    "sysu:fbp_like": {
        "network.trunk.after": {},
        "network.branches.1.pool.prototypes": 6,
        "network.discriminators.modality.hidden": (1000, 500),
        "network.discriminators.modality.outputs": 2,
        "network.discriminators.modality.reversal": 0.05,
        "objective.triplet.margin": 0.3,
        "objective.triplet_cross.margin": 0.3,
        "objective.triplet_within.margin": 0.3,
        "objective.triplet_within.reduction": "sum",
    },
    "sysu:cmgan": CMGAN,
    "sysu:cmgan_minmax": {
        "network.discriminators.modality.reversal": 0.05,
        "players.encoder.objective.triplet.margin": 1.4,
    },
    "sysu:cmcen_adv": {
        "network.trunk.before.3.threshold": 0.7,
        "network.discriminators.modality.hidden": (1024, 512),
        "network.discriminators.modality.outputs": 1,
        "network.discriminators.modality.reversal": 0.05,
        "objective.centres.on": "logits.v1",
        "objective.centres.margin": 0.1,
        "objective.centres.normalise": False,
        "objective.triplet.form": "agw",
    },
    "sysu:ddag": {
        "network.trunk.after": {},
        "network.branches.1.pool.parts": 3,
        "network.graph.heads": 4,
        "network.graph.features": 512,
        "network.graph.slope": 0.2,
        "network.graph.dropout": 0.2,
        "objective.triplet.margin": 0.3,
        "embedding.names": ("parts",),
    },
    "sysu:dscnet": DSCNET | {"objective.triplet.on": "features.v1"},
    "sysu:dscnet_paper": DSCNET | {"network.stem_maps": True},
    "sysu:pmt": {
        f"{ERASED}.p": 0.5,
        f"{ERASED}.value": (0.485, 0.456, 0.406),
        "views.infrared.device.0.value": (0.485, 0.456, 0.406),
        "views.infrared.pipe.1.choices.0.brightness": 0.3,
        "views.infrared.pipe.1.choices.0.contrast": 0.3,
        "views.infrared.pipe.1.choices.0.saturation": 0.0,
        "views.infrared.pipe.1.choices.0.hue": 0.0,
        "views.infrared.pipe.1.choices.1.kernel": 21,
        "views.infrared.pipe.1.choices.1.sigma": (0.1, 3.0),
        "network.size": (256, 128),
        "network.patch": 16,
        "network.stride": 12,
        "network.drop_path": 0.1,
        "network.dropout": 0.03,
        "objective.triplet.margin": 0.1,
        "phases.0.epochs": 6,
        "phases.0.views.visible.pipe.1.p": 1.0,  # grey
        "phases.0.objective.triplet.margin": 0.1,
        "phases.0.objective.triplet.reduction": "sum",
        "phases.1.epochs": 18,
    },
    "regdb:pmt": {"phases.0.epochs": 6, "phases.1.epochs": 30},
    "sysu:aligngan": GENERATORS_OF_ALIGNGAN
    | {
        "phases.0.epochs": 50,
        "phases.1.epochs": 100,
        "phases.2.epochs": 101,
        "network.size": (384, 192),
        "network.features": 256,
        "network.dropout": 0.5,
        "network.trunk.last_stride": 1,
        **{
            f"players.{player}.sampling.{field}": number
            for player in ("encoder", "encoder_alone")
            for field, number in (("identities", 18), ("images", 4))
        },
        **{
            f"players.{player}.objective.triplet.margin": 1.0
            for player in ("encoder", "encoder_alone", "generators", "generators_alone")
        },
        "players.infrared.objective.fake.target": 0.0,
        "players.infrared.objective.fake.on": tuple(
            (f"judgements.{kind}", 0.25)
            for kind in ("wrong", "real_with_made", "made_with_real", "made")
        ),
        "players.visible.objective.fake.on": (("judgements.made", 1.0),),
        "players.encoder.objective.fool.on": "judgements.real_with_made",
        "players.encoder.objective.fool.target": 1.0,
    },
    "sysu:mtgan_like": GENERATORS_OF_ALIGNGAN
    | {
        "phases.0.epochs": 8,
        "phases.0.sampling.identities": 4,
        "phases.0.sampling.images": 4,
        "phases.1.epochs": 120,
        "network.trunk.last_stride": 1,
        "players.visible.objective.fake.target": 0.0,
        "players.encoder.objective.identity.smoothing": 0.1,
        "players.encoder.objective.identity.on": tuple(
            (f"logits.{branch}", 1.0) for branch in ("own", "made", "mean")
        ),
        "players.encoder.objective.triplet.margin": 0.3,
        "embedding.names": ("mean",),
    },
    "regdb:mtgan_like": {"phases.0.epochs": 80, "phases.1.epochs": 120},
    "sysu:d2rl_like": {
        "phases.0.epochs": 16,
        "phases.0.sampling.identities": 4,
        "phases.0.sampling.images": 4,
        "phases.1.epochs": 70,
        "phases.2.epochs": 50,
        "network.size": (128, 64),
        "network.coder.channels": 64,
        "network.coder.blocks": 4,
        "network.discriminator.channels": 64,
        "network.discriminator.levels": 4,
        "players.discriminators.objective.fake.target": 0.0,
        "players.reid.objective.triplet.margin": 0.3,
        "players.generators.objective.triplet.margin": 0.3,
    },
    "regdb:d2rl_like": {"phases.0.epochs": 160, "phases.1.epochs": 70},
    "sysu:hicmd": {
        "network.prototype.channels": 32,
        "network.prototype.blocks": 4,
        "network.decoder.hidden": 512,
        "network.discriminator.channels": 32,
        "network.discriminator.blocks": 4,
        "network.hidden": 2048,
        "network.features": 1024,
        "network.dropout": 0.5,
        "network.erase.p": 0.5,
        "network.erase.value": (0.0, 0.0, 0.0),
        "players.discriminators.objective.fake.target": 0.0,
        **{
            f"players.{player}.objective.triplet.{field}": number
            for player in ("generators", "reid")
            for field, number in (("margin", 0.5), ("pull", 1.0))
        },
    },
    "sysu:jsia": JSIA
    | {
        "phases.0.epochs": 600,
        "phases.1.epochs": 50,
        "network.reconstructs": "visible",
    },
    "sysu:jsia_paper": JSIA | {"phases.0.epochs": 100, "phases.1.epochs": 50},
}


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
