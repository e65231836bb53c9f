"""All checks, in the order in which they are printed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid.doctor.devices import check_devices
from jreid.doctor.finding import Finding
from jreid.doctor.machine import check_cache_disk, check_memory, check_runs_disk
from jreid.doctor.packages import (
    check_extras,
    check_imports,
    check_packages,
    check_python,
)


@dataclass(frozen=True)
class Subject:
    """What is looked at besides the installation."""

    config: Any = None
    root: Path | None = None
    workdir: Path | None = None


def all_checks(subject: Subject) -> Iterator[Finding]:
    """What each check has found, as soon as it is known."""
    yield check_python()
    yield check_packages()
    yield check_imports()
    yield check_devices()
    yield check_extras()
    try:
        yield from _of_subject(subject)
    except ImportError as error:  # which check_imports has told of
        words = f"data set, weights and run cannot be looked at: {error}"
        yield Finding("fail", "imports", words)


def _of_subject(subject: Subject) -> Iterator[Finding]:
    from jreid.config_json import from_json
    from jreid.doctor.data_set import check_data_set, part_for
    from jreid.doctor.run_folder import check_run, newest_checkpoint, record_of_weights
    from jreid.doctor.weights import check_run_weights, check_weights
    from jreid.run.workdir import CONFIG, read_config

    config, workdir, dataset = subject.config, subject.workdir, None
    begun = None if workdir is None else newest_checkpoint(workdir)
    if workdir is not None and not workdir.exists():
        yield Finding("ok", "run", f"{workdir} is not there yet: a new run")
    elif workdir is not None and (config is None or (workdir / CONFIG).exists()):
        found = check_run(workdir)
        yield found
        if config is None and found.level != "fail":
            config = from_json(read_config(workdir))
    part = config.data if config is not None else None
    if subject.root is not None:
        part = part_for(subject.root)
    if part is not None:
        findings, dataset = check_data_set(part)
        yield from findings
    if workdir is not None and (record := record_of_weights(workdir)):
        yield check_run_weights(record)
    elif config is not None and begun is None:
        trunk = getattr(config.network, "trunk", None)
        yield check_weights(config.pretrained, getattr(trunk, "depth", 0))
    yield check_memory(_decoded(config, dataset))
    yield check_runs_disk(workdir or Path("runs"), _checkpoints(config, dataset, begun))
    yield check_cache_disk()


def _decoded(config: Any, dataset: Any) -> float:
    """GB of the decoded training images that the config keeps in memory."""
    if config is None or dataset is None or not config.loading.cache:
        return 0.0
    height, width = config.size
    return len(dataset.train) * height * width * 3 / 1e9


def _checkpoints(config: Any, dataset: Any, begun: float | None) -> float | None:
    """GB that the run's checkpoints will take beside those that are there."""
    from jreid.config_json import to_json
    from jreid.doctor.checkpoint_size import checkpoint_size

    if config is None:
        return None
    if begun is not None:
        return begun  # one more is written before the oldest goes
    if dataset is None:
        return None
    one = checkpoint_size(json.dumps(to_json(config)))
    return None if one is None else one * (config.checkpoint.keep + 1)
