"""Trains one system: `python -m jreid.train --config configs/sysu.py`.

The same command continues an interrupted run from its last checkpoint. Exit codes: 0
finished; 2 refused or failed, with a line that says why; 130 or 143 stopped by Ctrl-C
or SIGTERM after a checkpoint was written.
"""

import functools
import sys
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import config_flags

from jreid import evaluate, system
from jreid.checkpoint import Checkpoints
from jreid.config import RESUMABLE, Config, as_dict, validate
from jreid.interrupt import Interrupt
from jreid.report import make_reporter, parameter_table
from jreid.scalars import DivergedError, ScalarWindow
from jreid.state import data_mesh, init_state, make_train_step, network_structure
from jreid.workdir import open_workdir


def train(config: Config, workdir: Path) -> int:
    """Runs or continues the run in `workdir`; returns the exit code."""
    validate(config)
    with open_workdir(workdir, as_dict(config), may_differ=RESUMABLE):
        return _train(config, workdir)


def _train(config: Config, workdir: Path) -> int:
    # Images: the lists, then every file decoded once.
    images = system.read_images(config)
    evaluate.write_identities(workdir, images.identities)
    epoch = images.steps_per_epoch
    last = config.optim.epochs * epoch
    stop = min(config.steps or last, last)

    # Network, objective, optimiser, state.
    mesh = data_mesh()
    system.check_batch(config, mesh.devices.size)
    make_network = functools.partial(
        system.make_network, config, len(images.identities)
    )
    graphdef, frozen = network_structure(make_network)
    schedule = system.build_schedule(config, epoch)
    tx = system.build_tx(config, schedule)
    objective = system.build_objective(config)
    train_step = make_train_step(graphdef, objective, tx, system.STREAMS)
    embedder = evaluate.Embedder(config, frozen, mesh)
    state = init_state(make_network, tx, config.seed, mesh)

    with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as saved:
        # Continue where the newest checkpoint, or the one asked for, ends.
        start = config.checkpoint.step
        start = (saved.latest_step() or 0) if start < 0 else start
        if start:
            state = saved.restore(state, start)
            saved.discard_after(start)

        # The loop.
        images_per_step = system.images_per_step(config)
        reporter = make_reporter(
            workdir,
            total_steps=stop,
            first_step=start + 1,
            images_per_step=images_per_step,
            tensorboard=config.log.tensorboard,
        )
        with reporter, Interrupt() as interrupt:
            reporter.message(
                f"continuing after step {start}"
                if start
                else parameter_table(state.params)
            )
            batches = system.training_batches(config, images, start, stop)
            sharding = NamedSharding(mesh, PartitionSpec("data"))
            window = ScalarWindow(start + 1, images_per_step)
            for step, batch in enumerate(batches, start=start + 1):
                state, scalars = train_step(state, jax.device_put(batch, sharding))
                window.add(scalars)
                ending = step == stop or interrupt.received
                saving = ending or step % (config.checkpoint.every_epochs * epoch) == 0
                validating = _due(step, config.evaluation.every_epochs * epoch)
                if saving or validating or step % config.log.every_steps == 0:
                    metrics = window.means()  # waits for the device
                    metrics["lr"] = float(np.asarray(schedule(step - 1)))
                    if validating:
                        metrics |= embedder.validate(state, images.val)
                    reporter.scalars(step, metrics)
                else:
                    reporter.step(step)
                if saving:
                    saved.save(step, state)
                if interrupt.received:
                    reporter.message(f"stopped after step {step}; it is saved")
                    return interrupt.exit_code

    # The report.
    features = embedder(state.params, state.stats, images.test, "embed test images")
    scores = evaluate.write_report(config, workdir, stop, features, images.test)
    evaluate.print_report(config, scores, workdir)
    return 0


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


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
        raise app.UsageError(
            f"unknown arguments {argv[1:]}; overrides are --config.x=y"
        )
    config = CONFIG.value
    if not flags.FLAGS["verbosity"].present:  # warnings, not the libraries' chatter
        logging.set_verbosity(logging.WARNING)
    system.quieten_tensorflow()
    try:
        return train(config, Path(WORKDIR.value or Path("runs") / config.name))
    except (ValueError, OSError, DivergedError) as error:
        if TRACEBACK.value:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one line for the errors that config_flags lets through."""
    try:
        return app.parse_flags_with_usage(argv)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        print(f"error: {error.args[0]}; see jreid/config.py", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
