"""The terms of published systems and their weights, against a table made by hand.

A weight is the released or assumed one of a term as this package defines it: where a
loss is a sum over modalities and ours is their mean, it is twice theirs.
"""

import pytest

from jreid.config_files import load

WEIGHTS = {
    "mpanet": {
        "identity": 1,
        "identity_own": 2,  # 1 for each modality's
        "centres": 1,
        "overlap": 0.5,
        "teacher": 2.5,
    },
    "ddag": {"identity": 1, "triplet": 1, "identity_parts": 1, "graph": 1},
    "dscnet": {"identity": 1, "triplet": 1, "divergence": 0.1},
    "fbp_like": {
        "identity": 1,
        "identity_parts": 1,
        "triplet": 1,
        "triplet_cross": 1,
        "triplet_within": 1,
        "spread": 0.25,
        "modality": 1,  # in the reversal is .05 of it
    },
    # identity of each modality's images, 1 each
    "cmgan": {"triplet": 1, "identity": 2, "modality": 1},
    "cmcen_adv": {
        "identity": 1,
        "triplet": 1,
        "modality": 1,
        "centres": 0.001,
        "scales": 1e-4,
    },
    "pdm": {
        "identity": 1,
        "identity_parts": 1,
        "triplet": 1,
        "pair_mining": 0.4,  # .5 times .8
        "orthogonality": 0.01,
        "spread": 0.25,
        "centres": 1,
    },
    # identity of each modality's images, 1 each
    "pmt": {"identity": 2, "triplet": 1, "shared": 0.5, "centres": 0.5},
    "adca": {"visible": 1, "infrared": 1},
    "pgm": {"visible": 1, "infrared": 1, "cross": 0.25},
}
WEIGHTS["saai"] = {n: w for n, w in WEIGHTS["mpanet"].items() if n != "overlap"} | {
    "teacher": 1,
    "spread": 0.25,
}
WEIGHTS["saai_paper"] = WEIGHTS["saai"]
WEIGHTS["pdm_paper"] = WEIGHTS["pdm_tri"] = WEIGHTS["pdm"]
WEIGHTS["dscnet_paper"] = WEIGHTS["dscnet"] | {"stems": 1, "channels": 1}
# the mean of the two generators' of a least square, and .1 of each of real and made
GENERATORS = {
    "fool": 0.5,
    "fool_visible": 0.5,
    "cycle": 10,
    "same": 5,
    "triplet": 0.1,
    "identity": 0.2,
}
HALVED = {"real": 0.5, "fake": 0.5}
TRANSLATED = {"fool": 1, "same": 20, "cycle": 20, "divergence": 0.01}  # 10 in each
TOLD = {"identity": 1, "triplet": 1}
PIXELS = {"fool": 1, "same": 20, "cycle": 20}  # 10 in each modality
# of each player
PLAYERS = {
    "cmgan_minmax": {"encoder": WEIGHTS["cmgan"], "discriminator": {"modality": 1}},
    "aligngan": {
        "encoder_alone": {"identity": 1, "triplet": 1},
        "encoder": {"identity": 2, "triplet": 1, "fool": 0.1},
        "generators_alone": GENERATORS,
        "generators": GENERATORS,
        **dict.fromkeys(("visible_alone", "infrared_alone"), HALVED),
        **dict.fromkeys(("visible", "infrared"), HALVED),
    },
    "mtgan_like": {
        "generators": {"fool": 0.5, "cycle": 10, "same": 5},
        **dict.fromkeys(("visible", "infrared"), HALVED),
        "encoder": TOLD,
    },
    "d2rl_like": {
        "generators_alone": TRANSLATED,
        "generators": TRANSLATED | TOLD,
        "discriminators": {"real": 1, "fake": 1},
        "reid": TOLD,
    },
    # 50 for images, 10 for attributes, 20 for judgements, and .01 of those for slopes:
    # sums over modalities and codes, and real images stand beside both made ones
    "hicmd": {
        "discriminators": {"real": 40, "fake": 20, "penalty": 0.4},
        "generators": {
            "same": 100,
            "cross": 100,
            "cycle": 100,
            "attributes": 40,
            "prior": 1,
            "fool": 20,
            **TOLD,
        },
        "reid": TOLD,
    },
    "jsia": {
        "generators": PIXELS | {"content": 2, "style": 2},
        "discriminators": {"real": 1, "fake": 1},
        "encoder": PIXELS
        | {"identity": 1, "triplet": 0.5}
        | dict.fromkeys(("pair_visible", "pair_visible_back"), 0.01)
        | dict.fromkeys(("pair_infrared", "pair_infrared_back"), 0.01),
    },
}
PLAYERS["jsia_paper"] = PLAYERS["jsia"]
# of phases that have terms of their own
PHASES = {"pmt": {"identity": 2, "triplet": 1}, "pgm": WEIGHTS["adca"]}
on_every_data_set = pytest.mark.parametrize("data", ["sysu", "regdb", "llcm"])


def weights(terms):
    return {name: term.weight for name, term in terms.items()}


@on_every_data_set
@pytest.mark.parametrize("system", WEIGHTS)
def test_weights_of_terms(system, data):
    config = load(f"{data}:{system}")
    assert weights(config.objective) == WEIGHTS[system] and not config.players


@on_every_data_set
@pytest.mark.parametrize("system", PLAYERS)
def test_weights_of_the_terms_of_players(system, data):
    config = load(f"{data}:{system}")
    found = {name: weights(p.objective) for name, p in config.players.items()}
    assert found == PLAYERS[system] and not config.objective
    assert not any(phase.objective for phase in config.phases)


@on_every_data_set
@pytest.mark.parametrize("system", PHASES)
def test_weights_of_the_terms_of_a_first_phase(system, data):
    first, second = load(f"{data}:{system}").phases
    assert weights(first.objective) == PHASES[system] and not second.objective
