"""What an exported file says of itself, for those who read images for it."""

from typing import Any

from jreid.config_hash import config_hash
from jreid.data.datasets import MODALITY_NAMES
from jreid.run.frozen import FrozenRun


def about_file(run: FrozenRun) -> dict[str, Any]:
    """In values that JSON can hold.

    Its fingerprint is the run's, so that a gallery of the run can be searched with the
    file: their vectors differ by less than `embedding.LIMIT`.
    """
    return {
        **run.about,
        "config_hash": config_hash(run.config),
        "modalities": list(MODALITY_NAMES),
    }
