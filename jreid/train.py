"""Trains one system: `python -m jreid.train --config configs/sysu.py`.

The same command continues an interrupted run from its last checkpoint. With
`--config configs/regdb.py:all` it trains RegDB's ten splits in turn. Exit codes: 0
finished; 2 refused or failed, with a line that says why; 130 or 143 stopped by Ctrl-C
or SIGTERM during training, after a checkpoint was written.

Several processes, each started with its own `--config.distributed.process=`, train one
network together (docs/scaling.md); the first writes and prints for all.
"""

import contextlib
import dataclasses
import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optax
from absl import app, flags, logging
from jax.sharding import Mesh
from ml_collections import config_flags

from jreid import system
from jreid.config import RESUMABLE, Config, as_dict, validate
from jreid.processes import distributed
from jreid.processes.distributed import StopVote, own_rows, to_devices
from jreid.processes.heap import trim_after_compiling
from jreid.processes.interrupt import Interrupt
from jreid.progress import Progress
from jreid.run import pretrained, results
from jreid.run import split_training as launch
from jreid.run.about import about_run
from jreid.run.checkpoint import Checkpoints, saved_steps
from jreid.run.splits import SPLITS
from jreid.run.trained import Embedder, write_training_set
from jreid.run.workdir import open_workdir, require_shared, write_text
from jreid.training.learner import (
    TrainState,
    data_mesh,
    init_state,
    make_train_step,
    network_structure,
)
from jreid.training.reporter import SilentReporter, make_reporter, parameter_table
from jreid.training.scalars import DivergedError, ScalarWindow


@dataclass
class Run:
    """What a run is made of, built and checked before anything is written."""

    images: system.RunImages
    last_step: int
    mesh: Mesh
    schedule: optax.Schedule
    train_step: Any
    embedder: Embedder
    state: TrainState
    weights: pretrained.Pretrained | None  # what a new run begins with


def train(config: Config, workdir: Path) -> int:
    """Runs or continues the run in `workdir`; returns the exit code."""
    validate(config)
    trim_after_compiling()
    main = Progress.shown = distributed.is_main()
    opened = open_workdir(workdir, as_dict(config), may_differ=RESUMABLE)
    with opened if main else contextlib.nullcontext():
        distributed.agree(_common(config))
        require_shared(workdir)
        run = _prepare(config, workdir)
        if main:
            write_training_set(workdir, run.images)
        if main and run.weights:
            pretrained.write_record(workdir, run.weights, run.state.params)
        distributed.agree(
            {
                "the names of the training images": run.images.digest,
                "the names of the test images": system.digest(run.images.test),
                "the pretrained weights": run.weights and run.weights.sha256,
            }
        )
        try:
            exit_code = _loop(config, workdir, run)
        except DivergedError as error:
            raise _with_batch(error, config, workdir, run.images) from error
        if exit_code:
            return exit_code
        step, test = int(run.state.step), run.images.test
        features = run.embedder(
            run.state.params, run.state.stats, test, "embed test images"
        )
        if main:
            scores = results.write_report(config, workdir, step, features, test)
            results.print_report(scores, about_run(config, step), workdir)
        return 0


def _prepare(config: Config, workdir: Path) -> Run:
    # Weights to begin with; a run that is continued has its own.
    weights = None
    if config.model.pretrained and not _first_step(config, workdir):
        path = Path(config.model.pretrained).expanduser()
        weights = pretrained.read_pretrained(path, config.model.depth)

    # Images: the lists, every file decoded once, and a dry run of sampler and scores.
    images = system.read_images(config)
    mesh = data_mesh()
    system.check_sampler(config, images, mesh.devices.size)
    results.check_scorable(config, images)

    # Network, objective, optimiser, state.
    make_network = functools.partial(
        system.make_network, config, len(images.identities)
    )
    graphdef, frozen = network_structure(make_network)
    schedule = system.build_schedule(config, images.steps_per_epoch)
    tx = system.build_tx(config, schedule)
    objective = system.build_objective(config)
    state = init_state(make_network, tx, config.seed, mesh)
    if weights:
        params, stats = pretrained.load_pretrained(weights, state.params, state.stats)
        state = state._replace(params=params, stats=stats)
    return Run(
        images=images,
        last_step=config.optim.epochs * images.steps_per_epoch,
        mesh=mesh,
        schedule=schedule,
        train_step=make_train_step(graphdef, objective, tx, system.STREAMS),
        embedder=Embedder(config, frozen, mesh),
        state=state,
        weights=weights,
    )


def _common(config: Config) -> dict[str, Any]:
    """What of the config several processes must have in common."""
    sections = as_dict(config)
    del sections["distributed"]
    for own in ("root", "tfds", "workers"):  # may differ from host to host
        del sections["data"][own]
    return {f"config.{name}": value for name, value in sections.items()}


def _first_step(config: Config, workdir: Path) -> int:
    """The step that the run in `workdir` continues after; 0 begins anew."""
    if config.checkpoint.step >= 0:
        return config.checkpoint.step
    newest = max(saved_steps(workdir / "checkpoints"), default=0)
    return distributed.from_main(newest)


def _loop(config: Config, workdir: Path, run: Run) -> int:
    """Takes the steps that are left; returns 0, or the code of a signal."""
    images_per_step = system.images_per_step(config)
    epoch = run.images.steps_per_epoch
    stop = min(config.steps or run.last_step, run.last_step)
    with (
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as saved,
        Interrupt() as interrupt,
    ):
        vote = StopVote(run.mesh)
        start = _restore(config, saved, run)
        reporter = SilentReporter()
        if distributed.is_main():
            reporter = make_reporter(
                workdir,
                total_steps=stop,
                first_step=start + 1,
                images_per_step=images_per_step,
                tensorboard=config.log.tensorboard,
            )
        with reporter:
            reporter.message(
                f"continuing after step {start}"
                if start
                else parameter_table(run.state.params)
            )
            if run.weights:
                reporter.message(pretrained.describe(run.weights, run.state.params))
            slots = system.slots(config)
            own = own_rows(run.mesh, slots)
            batches = system.training_batches(config, run.images, start, stop, own)
            window = ScalarWindow(start + 1, images_per_step)
            for step, batch in enumerate(window.timed(batches), start=start + 1):
                batch = to_devices(batch, run.mesh, slots)
                run.state, scalars = run.train_step(run.state, batch)
                window.add(scalars)
                stopping = vote(interrupt.number)  # the same in every process
                saving = (
                    stopping
                    or step == stop
                    or _due(config.checkpoint.every_epochs, epoch, step)
                )
                validating = not stopping and _due(
                    config.evaluation.every_epochs, epoch, step
                )
                if saving or validating or step % config.log.every_steps == 0:
                    metrics = window.means()  # waits for the device
                    metrics["lr"] = float(np.asarray(run.schedule(step - 1)))
                    if validating:
                        metrics |= run.embedder.validate(run.state, run.images.val)
                    reporter.scalars(step, metrics)
                else:
                    reporter.step(step)
                if saving:
                    saved.save(step, run.state)
                if saving or validating:
                    window.restart_clock()
                if stopping:
                    saved.wait()
                    reporter.message(f"stopped after step {step}; it is saved")
                    return 128 + stopping
            stopping = vote(interrupt.number)
    return 128 + stopping if stopping else 0


def _with_batch(
    error: DivergedError, config: Config, workdir: Path, images: system.RunImages
) -> DivergedError:
    """Saves which files were in the batch of the step, and names that list as well."""
    path = workdir / f"diverged-step-{error.step}.json"
    try:
        write_text(path, json.dumps(system.batch_files(config, images, error.step)))
    except OSError as failure:
        return DivergedError(
            f"{error} (its batch is not listed: {failure})", error.step
        )
    return DivergedError(f"{error}. Its batch is listed in {path}", error.step)


def _restore(config: Config, saved: Checkpoints, run: Run) -> int:
    """Continues from the newest checkpoint, or the one asked for; returns its step."""
    step = config.checkpoint.step
    if step < 0:
        step = saved.latest_step() or 0
    step = distributed.from_main(step)  # all have listed the folder before one deletes
    if step:
        run.state = saved.restore(run.state, step)
        saved.discard_after(step)
    return step


def _due(every_epochs: int, epoch: int, step: int) -> bool:
    return every_epochs > 0 and step % (every_epochs * epoch) == 0


CONFIG = config_flags.DEFINE_config_file(
    "config", lock_config=False, help_string="A file of configs/, with its variant."
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder; runs/<config's name>."
)
CHOSEN_SPLITS = flags.DEFINE_list(
    "splits", [], "Train these splits of RegDB only, as in --splits=1,2,3."
)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where an error was raised.")


def main(argv: list[str]) -> int:
    """Trains with the flags' config; an error becomes one line and exit code 2."""
    if len(argv) > 1:
        return _refuse(f"unknown arguments {argv[1:]}; overrides are --config.x=y")
    if not flags.FLAGS["verbosity"].present:  # warnings, not the libraries' chatter
        logging.set_verbosity(logging.WARNING)
    system.quieten_tensorflow()
    config = CONFIG.value
    workdir = Path(WORKDIR.value or Path("runs") / config.name)
    try:
        if CHOSEN_SPLITS.value or config.data.trial == 0:
            return train_splits(config, workdir, CHOSEN_SPLITS.value)
        validate(config)
        with distributed.joined(**dataclasses.asdict(config.distributed)):
            return train(config, workdir)
    except (ValueError, OSError, DivergedError) as error:
        if TRACEBACK.value:
            raise
        return _refuse(str(error))


def train_splits(config: Config, prefix: Path, chosen: list[str]) -> int:
    """Trains the chosen splits of RegDB, or all, in `prefix`-1, `prefix`-2, ..."""
    validate(config)
    numbers = [int(word) for word in chosen if word.isdecimal()]
    if len(numbers) < len(chosen) or not set(numbers) <= set(SPLITS):
        raise ValueError(f"--splits={','.join(chosen)}: RegDB has the splits 1 to 10")
    if config.data.dataset != "regdb" or config.data.trial:
        raise ValueError(
            "--splits chooses among RegDB's splits: use it with a config for all of "
            "them, --config configs/regdb.py:all"
        )
    runs = launch.split_runs(config, prefix, sorted(set(numbers)) or SPLITS)
    for run in runs:
        system.read_dataset(run.config)  # its lists are missed now or in some days
    # Of a flag that is given twice the later one counts.
    arguments = [*sys.argv[1:], "--splits="]
    mean = prefix.with_name(f"{prefix.name}-mean")
    return launch.train_splits(runs, arguments, mean)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; an error becomes one line and exit code 2."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, KeyError, AttributeError, TypeError, ValueError) as error:
        # An error in a config file arrives with its traceback: its last line says it.
        lines = str(error.args[0]).strip().splitlines()
        sys.exit(_refuse(f"{lines[-1].strip()} (fields: jreid/config.py)"))


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
