"""What scores are of: the head of results.json, printed above the table.

Every head has the same keys; what is not known, or does not apply, is None.
"""

from typing import Any

from jreid import __version__
from jreid.config import Config, as_dict, config_hash


def about_run(config: Config, step: int | None) -> dict[str, Any]:
    """The head of a run's scores at `step`, or at steps of which there are several."""
    data, evaluation = config.data, config.evaluation
    return {
        "name": config.name,
        "step": step,
        "feature": evaluation.feature,
        "flip": evaluation.flip,
        "config_hash": config_hash(config),
        "dataset": data.dataset,
        "root": data.root or data.tfds,
        # 0 stands for all splits of RegDB.
        "trial": (data.trial or None) if data.dataset == "regdb" else None,
        "features_file": None,
        "version": __version__,
        "config": as_dict(config),
    }


def about_features(name: str, file: str, trial: int | None = None) -> dict[str, Any]:
    """The head of the scores of a features file, which tells little of its model."""
    return {
        "name": name,
        "step": None,
        "feature": None,
        "flip": None,
        "config_hash": None,
        "dataset": None,
        "root": None,
        "trial": trial,
        "features_file": file,
        "version": __version__,
        "config": None,
    }
