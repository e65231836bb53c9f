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
    from jreid.doctor.checkpoint_whole import check_checkpoint
    from jreid.doctor.data_set import check_data_set, part_for
    from jreid.doctor.permission import denied
    from jreid.doctor.run_folder import newest_checkpoint, record_of_weights
    from jreid.doctor.weights import check_run_weights, check_weights
    from jreid.run.published_weights import kind_of

    config, workdir, root = subject.config, subject.workdir, subject.root
    begun = dataset = None
    if workdir is not None and (found := denied("run", workdir)):
        yield found
        workdir = None
    elif workdir is not None:
        begun = newest_checkpoint(workdir)
        findings, config = _of_run(workdir, config)
        yield from findings
    part = config.data if config is not None else None
    if root is not None and (found := denied("data set", root)):
        yield found
        part = None
    elif root is not None:
        part = part_for(root)
    if part is not None:
        findings, dataset = check_data_set(part)
        yield from findings
    if workdir is not None and begun and (found := check_checkpoint(workdir)):
        yield found
    if workdir is not None and (record := record_of_weights(workdir)):
        yield check_run_weights(record)
    elif config is not None and begun is None:
        yield check_weights(config.pretrained, kind_of(config.network))
    yield check_memory(_decoded(config, dataset))
    runs = subject.workdir or Path("runs")
    yield check_runs_disk(runs, _checkpoints(config, dataset, begun))
    yield check_cache_disk()


def _of_run(workdir: Path, config: Any) -> tuple[list[Finding], Any]:
    """What the folder holds, and the config to look at: the one given, or its own."""
    from jreid.doctor.run_folder import check_run
    from jreid.run.workdir import CONFIG

    if not workdir.exists():
        return [Finding("ok", "run", f"{workdir} is not there yet: a new run")], config
    if config is not None and not (workdir / CONFIG).exists():
        return [], config
    found, own = check_run(workdir)
    return [found], own if config is None else config


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
