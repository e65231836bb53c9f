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
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from jreid import command_line
from jreid.config import Config
from jreid.data.quiet import quieten_tensorflow
from jreid.processes import distributed
from jreid.processes.distributed import StopVote, to_devices
from jreid.processes.heap import trim_after_compiling
from jreid.processes.interrupt import Interrupt
from jreid.progress import Progress
from jreid.run import images as run_images
from jreid.run import pretrained, results, split_training
from jreid.run.about import about_run
from jreid.run.checkpoint import Checkpoints, resume
from jreid.run.embedder import Embedder
from jreid.run.workdir import open_workdir, require_shared
from jreid.training.between_epochs import after_hook, labels_of, with_labels
from jreid.training.build import build_system, classes_of, rates_at, schedules
from jreid.training.learner import System, TrainState, data_mesh
from jreid.training.plan import PlannedPhase, epoch_of, plan, segments
from jreid.training.reporter import make_reporter, parameter_table
from jreid.training.scalars import ScalarWindow


@dataclass
class Run:
    """What a run is made of, built and checked before anything is written."""

    images: run_images.RunImages
    phases: tuple[PlannedPhase, ...]
    images_per_step: int
    mesh: Mesh
    system: System
    embedder: Embedder
    state: TrainState
    weights: Any  # what a new run begins with, or None


def train(config: Config, workdir: Path) -> int:
    """Runs or continues the run in `workdir`; returns the exit code."""
    trim_after_compiling()
    main = Progress.shown = distributed.is_main()
    with open_workdir(workdir, config) if main else contextlib.nullcontext():
        distributed.agree(config.shared())
        require_shared(workdir)
        run = _prepare(config, workdir)
        if main:
            run_images.write_training_set(workdir, run.images, run.phases)
        if main and run.weights:
            pretrained.write_record(workdir, run.weights, run.state.params)
        distributed.agree(
            {
                "the names of the training images": run.images.digest,
                "the names of the test images": run_images.digest(run.images.test),
                "the pretrained weights": run.weights and run.weights.sha256,
            }
        )
        if exit_code := _loop(config, workdir, run):
            return exit_code
        test = run.images.test
        features = run.embedder(
            run.state.params, run.state.stats, test, "embed test images"
        )
        if main:
            step = int(run.state.step)
            scores = results.write_report(config, workdir, step, features, test)
            results.print_report(scores, about_run(config, step), workdir)
        return 0


def _prepare(config: Config, workdir: Path) -> Run:
    # Weights to begin with; a run that is continued has its own.
    weights = pretrained.weights_of_new_run(config, workdir)

    # Images: the lists, every file decoded once, and a dry run of sampler and scores.
    images = run_images.read_images(config)
    mesh, phases = data_mesh(), plan(config, images.train)
    count = run_images.check_batches(config, images, phases, mesh.devices.size)
    results.check_scorable(config, images)

    # The system, and the state it begins with.
    system = build_system(
        config, classes_of(config, len(images.identities)), phases, mesh
    )
    state = with_labels(config.between_epochs, system.init(config.seed), images.labels)
    if weights:
        params, stats = pretrained.load_pretrained(weights, state.params, state.stats)
        state = state._replace(params=params, stats=stats)
    embedder = Embedder(config, system.embed, mesh)
    return Run(images, phases, count, mesh, system, embedder, state, weights)


def _loop(config: Config, workdir: Path, run: Run) -> int:
    """Takes the steps that are left; returns 0, or the code of a signal."""
    last, rates = run.phases[-1].last, schedules(config, run.phases)
    stop = min(config.steps or last, last)
    listed = partial(run_images.list_batch, config, workdir, run.images, run.phases)
    with (
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as saved,
        Interrupt() as interrupt,
    ):
        vote = StopVote(run.mesh)
        run.state, start = resume(saved, run.state, config.checkpoint.step)
        window = ScalarWindow(start + 1, run.images_per_step, listed)
        reporter = make_reporter(
            workdir,
            total_steps=stop,
            first_step=start + 1,
            images_per_step=run.images_per_step,
            writers=config.log.writers,
        )
        with reporter:
            reporter.message(_beginning(run, start))
            batches = window.timed(_batches(config, run, start, stop))
            for step, (phase, batch) in enumerate(batches, start=start + 1):
                run.state, scalars = run.system.step(run.state, batch, phase.number)
                window.add(scalars)
                stopping = vote(interrupt.number)  # the same in every process
                saving = (
                    stopping
                    or step == stop
                    or _due(config.checkpoint.every_epochs, phase, step)
                )
                validating = not stopping and _due(
                    config.evaluation.every_epochs, phase, step
                )
                if saving or validating or step % config.log.every_steps == 0:
                    metrics = window.means()  # waits for the device
                    metrics |= rates_at(rates, step - 1)
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


def _batches(config: Config, run: Run, start: int, stop: int):
    """Each step's phase and batch; what a system does between epochs, before them."""
    hook = config.between_epochs
    for part in segments(run.phases, start, stop, by_epoch=hook is not None):
        epoch, begins = epoch_of(run.phases, part.first)
        if hook is not None and begins:
            embed = partial(run.embedder, *run.state[1:3], run.images.train, "embed")
            run.state = after_hook(hook, run.state, embed, epoch, config.seed)
        labels = labels_of(run.state)
        for batch in run_images.batches(config, run.images, part, run.mesh, labels):
            yield part.phase, to_devices(batch, run.mesh)


def _beginning(run: Run, start: int) -> str:
    if start:
        return f"continuing after step {start}"
    table = parameter_table(run.state.params)
    if run.weights is None:
        return table
    return f"{table}\n{pretrained.describe(run.weights, run.state.params)}"


def _due(every_epochs: int, phase: PlannedPhase, step: int) -> bool:
    every = every_epochs * phase.steps_per_epoch
    return every_epochs > 0 and (step - phase.first) % every == 0


@dataclass(slots=True)
class Options:
    """What is not part of the config."""

    workdir: Path | None = None
    """The run's folder; runs/<config's name>."""
    splits: tuple[int, ...] = ()
    """Train these splits of RegDB only, as in --splits 1 2 3."""
    traceback: bool = False
    """Show where an error was raised."""


def program(arguments: list[str]) -> int:
    """Trains with the command line's config."""
    given = command_line.parse_with_config(
        Options, "python -m jreid.train", arguments, "Trains one system."
    )
    quieten_tensorflow()
    config, options = given.config, given.options
    workdir = options.workdir or Path("runs") / config.name
    if options.splits or getattr(config.data, "split", None) == 0:
        return split_training.train_all(config, workdir, options.splits, given.words)
    with distributed.joined(**dataclasses.asdict(config.distributed)):
        return train(config, workdir)


def main(arguments: list[str]) -> int:
    """Exit codes: see above; an error becomes one line."""
    return command_line.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
