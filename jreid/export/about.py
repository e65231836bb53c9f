"""What an exported file says of itself, for those who read images for it."""

from typing import Any

from jreid.config_hash import config_hash
from jreid.data.datasets import MODALITY_NAMES
from jreid.export.embedding import in_float32
from jreid.run.frozen import FrozenRun


def about_file(run: FrozenRun) -> dict[str, Any]:
    """In values that JSON can hold.

    Its fingerprint is that of the run in float32, so that a gallery of such a run can
    be searched with the file: their vectors differ by less than `embedding.LIMIT`. A
    run in another precision has other vectors, and its file says so.

    Args:
        run: as it was trained.
    """
    about = {**in_float32(run).about, "config_hash": config_hash(run.config)}
    if run.config.precision != "float32":
        about["precision"] = f"float32 of a run in {run.config.precision}"
    return {**about, "modalities": list(MODALITY_NAMES)}
