"""In what a published system differs between data sets, and that the rest does not.

docs/systems.md says it in words; the numbers are in test_system_numbers.py.
"""

import narrow
import pytest

from jreid.config_differences import differences
from jreid.config_files import load

# the name, the images, and whose galleries are drawn
FREE = {"name", "data", "evaluation.draw"}
VIEWS = {"views.visible", "views.infrared"}
TRUNK = {"network.trunk"}
FUSED = {"embedding.features", "embedding.embeddings"}
MAKING = {"phases.0", "schedule.epochs"}  # as many steps in shorter epochs
OTHERS = {
    "regdb": {
        **dict.fromkeys(("rle", "rle_paper"), VIEWS | TRUNK | FUSED),
        "strong": VIEWS | TRUNK,
        "caj_plus": VIEWS | {"views.channel"},
        "hctri": {
            *("sampling.identities", "sampling.images", "network.branches"),
            *("objective.hc_tri", "objective.identity"),
        },
        **dict.fromkeys(("vsd", "vsd_eq8"), {"sampling.identities"}),
        "mcja": TRUNK
        | {
            *("sampling.identities", "sampling.images"),
            *("schedule.epochs", "schedule.drops"),
        },
        **dict.fromkeys(("deen", "pdm", "pdm_paper", "pdm_tri"), VIEWS | TRUNK),
        "mpanet": {"size", "sampling.identities", "sampling.images", "schedule.drops"},
        "saai": TRUNK | {"sampling.identities"},
        "saai_paper": TRUNK | {"sampling.identities", "network.branches"},
        **dict.fromkeys(("dscnet", "dscnet_paper"), {"sampling.images"}),
        "pmt": {"phases.1", "schedule.epochs"},
        "adca": {"between_epochs.eps", "sampling.steps"},
        "pgm": {
            *("between_epochs.eps", "between_epochs.match_from", "sampling.steps"),
            *("memory.cross_from", "memory.hardest", "objective.cross"),
            *("phases.0", "phases.1", "schedule.epochs"),
        },
        "hicmd": {"schedule.epochs", "schedule.drops"},
        "d2rl_like": MAKING,
        "mtgan_like": MAKING,
    },
    "llcm": {
        **dict.fromkeys(("rle", "rle_paper"), VIEWS | FUSED),
        "strong": VIEWS,
        "caj_plus": VIEWS | {"views.channel"},
        **dict.fromkeys(("deen", "pdm", "pdm_paper", "pdm_tri"), VIEWS),
        **dict.fromkeys(("agw", "baseline"), VIEWS),
    },
}


@pytest.mark.parametrize("name", narrow.NAMES)
@pytest.mark.parametrize("data", OTHERS)
def test_what_differs_on_another_data_set_than_sysu_mm01(data, name):
    """All that does, by the first two names of its path."""
    found = differences(load(f"sysu:{name}"), load(f"{data}:{name}"))
    paths = [path.removeprefix("config.").split(".")[:2] for path, *_ in found]
    assert {".".join(path) for path in paths} - FREE == OTHERS[data].get(name, set())
