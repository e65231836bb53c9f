"""A term without the block or the memory that it needs is refused, by its name."""

import narrow
import pytest

from jreid import parts
from jreid.models.pooling import Average
from jreid.models.two_stream import TwoStream


def plain(config):
    """DDAG's network without its graph."""
    made = {
        name: getattr(config.network, name)
        for name in ("branches", "trunk", "stems", "private_stages")
    }
    config.network = TwoStream(**made)


def put(name, value):
    return lambda config: setattr(config.network, name, value)


def of_branch(number, name, value):
    return lambda config: setattr(config.network.branches[number], name, value)


# system -> terms, and what takes away the block that each stands on
STOOD_ON = {
    "ddag": {"graph": plain},
    "cmcen_adv": {"modality": put("discriminators", {})},
    "dscnet_paper": dict.fromkeys(("stems", "channels"), put("stem_maps", False)),
    "cmgan": {"modality": put("discriminators", {})},
    "fbp_like": {"modality": put("discriminators", {})},
    "mpanet": {
        "identity_own": of_branch(0, "own", None),
        "overlap": of_branch(0, "pool", Average()),
    },
    "saai": {
        "identity_own": of_branch(0, "own", None),
        "spread": of_branch(0, "pool", Average()),
    },
    "pdm": {"spread": of_branch(1, "pool", Average())},
}


PAIRS = [(system, term) for system, terms in STOOD_ON.items() for term in terms]


@pytest.mark.parametrize("system, term", PAIRS)
def test_a_block_that_a_term_stands_on_is_missed(system, term):
    config = narrow.narrow(system)
    parts.check(config)
    STOOD_ON[system][term](config)
    with pytest.raises(ValueError, match=r"objective\.\w+\.on is .*; allowed are"):
        parts.check(config)
    for name in (*STOOD_ON[system], "teacher"):
        config.objective.pop(name, None)
    parts.check(config)


READ = {
    "ddag": ("graph", r"'pace' of .* nothing: give memory=Pace\("),
    "adca": ("visible", r"'clusters' of .*: give memory=ClusterMemory\("),
    "pgm": ("cross", r"'match' of .*: give memory=CrossClusterMemory\("),
    "mpanet": ("teacher", r"give memory=MovingAverage\("),
    "saai": ("teacher", r"give memory=MovingAverage\("),
}


@pytest.mark.parametrize("system", READ)
def test_a_memory_that_a_term_reads_is_missed(system):
    config, (name, told) = narrow.narrow(system), READ[system]
    rows = narrow.rows_of(config)
    outputs = narrow.outputs_of(config, rows)
    with pytest.raises(ValueError, match=told):
        config.objective[name](outputs, rows | {"extra": {}})
