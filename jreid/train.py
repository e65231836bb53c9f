"""Trains one system: `python -m jreid.train --config configs/sysu.py`.

The same command continues an interrupted run from its last checkpoint. Exit codes: 0
finished; 2 refused or failed, with a line that says why; 130 or 143 stopped by Ctrl-C
or SIGTERM during training, after a checkpoint was written.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from absl import app, flags, logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import config_flags

from jreid import evaluate, results, system
from jreid.checkpoint import Checkpoints
from jreid.config import RESUMABLE, Config, as_dict, validate
from jreid.interrupt import Interrupt
from jreid.report import make_reporter, parameter_table
from jreid.scalars import DivergedError, ScalarWindow
from jreid.state import (
    TrainState,
    data_mesh,
    init_state,
    make_train_step,
    network_structure,
)
from jreid.workdir import open_workdir


@dataclass
class Run:
    """What a run is made of, built and checked before anything is written."""

    images: system.RunImages
    last_step: int
    mesh: Mesh
    schedule: optax.Schedule
    train_step: Any
    embedder: evaluate.Embedder
    state: TrainState


def train(config: Config, workdir: Path) -> int:
    """Runs or continues the run in `workdir`; returns the exit code."""
    validate(config)
    with open_workdir(workdir, as_dict(config), may_differ=RESUMABLE):
        run = _prepare(config)
        evaluate.write_training_set(workdir, run.images)
        if exit_code := _loop(config, workdir, run):
            return exit_code
        step, test = int(run.state.step), run.images.test
        features = run.embedder(
            run.state.params, run.state.stats, test, "embed test images"
        )
        scores = results.write_report(config, workdir, step, features, test)
        results.print_report(config, scores, workdir)
        return 0


def _prepare(config: Config) -> Run:
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
    return Run(
        images=images,
        last_step=config.optim.epochs * images.steps_per_epoch,
        mesh=mesh,
        schedule=schedule,
        train_step=make_train_step(graphdef, objective, tx, system.STREAMS),
        embedder=evaluate.Embedder(config, frozen, mesh),
        state=init_state(make_network, tx, config.seed, mesh),
    )


def _loop(config: Config, workdir: Path, run: Run) -> int:
    """Takes the steps that are left; returns 0, or the code of a signal."""
    images_per_step = system.images_per_step(config)
    epoch = run.images.steps_per_epoch
    stop = min(config.steps or run.last_step, run.last_step)
    with (
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as saved,
        Interrupt() as interrupt,
    ):
        start = _restore(config, saved, run)
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
            batches = system.training_batches(config, run.images, start, stop)
            sharding = NamedSharding(run.mesh, PartitionSpec("data"))
            window = ScalarWindow(start + 1, images_per_step)
            for step, batch in enumerate(batches, start=start + 1):
                batch = jax.device_put(batch, sharding)
                run.state, scalars = run.train_step(run.state, batch)
                window.add(scalars)
                stopping = interrupt.received  # read once: it may change any time
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
                    return interrupt.exit_code
    return 0


def _restore(config: Config, saved: Checkpoints, run: Run) -> int:
    """Continues from the newest checkpoint, or the one asked for; returns its step."""
    step = config.checkpoint.step
    if step < 0:
        step = saved.latest_step() or 0
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
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where an error was raised.")


def main(argv: list[str]) -> int:
    """Trains with the flags' config; an error becomes one line and exit code 2."""
    if len(argv) > 1:
        return _refuse(f"unknown arguments {argv[1:]}; overrides are --config.x=y")
    if not flags.FLAGS["verbosity"].present:  # warnings, not the libraries' chatter
        logging.set_verbosity(logging.WARNING)
    system.quieten_tensorflow()
    config = CONFIG.value
    try:
        return train(config, Path(WORKDIR.value or Path("runs") / config.name))
    except (ValueError, OSError, DivergedError) as error:
        if TRACEBACK.value:
            raise
        return _refuse(str(error))


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
