"""Trains one system: `python -m jreid.train --config configs/sysu.py`.

The same command continues an interrupted run from its last checkpoint. With
`--config configs/regdb.py:all` it trains RegDB's ten splits in turn. Exit codes: 0
finished; 2 refused or failed, with a line that says why; 129, 130 or 143 stopped by a
closed terminal, Ctrl-C or SIGTERM, during training after a checkpoint was written.

Several processes, each started with its own `--config.distributed.process=`, train one
network together (docs/scaling.md); the first writes and prints for all.
"""

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jreid import command_line, ending, stopping
from jreid.run.begin import Begun, begin
from jreid.streams import say


@dataclass(slots=True)
class Options:
    """What is not part of the config."""

    workdir: Path | None = None
    """The run's folder; runs/<config's name>."""
    splits: tuple[int, ...] = ()
    """Train these splits of RegDB only, as in --splits 1 2 3."""
    traceback: bool = False
    """Show where an error was raised."""


parse = partial(
    command_line.parse_with_config,
    Options,
    "python -m jreid.train",
    description="Trains one system.",
)

begun = None
if __name__ == "__main__":
    stopping.end_quietly()
    ending.help_first(parse, sys.argv[1:])  # before JAX is imported
    begun = ending.or_end(partial(begin, parse), sys.argv[1:])

from jreid.config import Config  # noqa: E402
from jreid.data.quiet import quieten_tensorflow  # noqa: E402
from jreid.finish import finish  # noqa: E402
from jreid.processes import distributed  # noqa: E402
from jreid.processes.compilation_cache import keep_compiled_programs  # noqa: E402
from jreid.processes.devices import describe_devices  # noqa: E402
from jreid.processes.distributed import StopVote  # noqa: E402
from jreid.processes.heap import trim_after_compiling  # noqa: E402
from jreid.processes.interrupt import Interrupt  # noqa: E402
from jreid.progress import Progress  # noqa: E402
from jreid.run import pretrained, results, split_training  # noqa: E402
from jreid.run.batches import list_batch  # noqa: E402
from jreid.run.build import Run, build_run  # noqa: E402
from jreid.run.checkpoint import Checkpoints, resume  # noqa: E402
from jreid.run.finished import print_finished, scores_of_finished  # noqa: E402
from jreid.run.images import facts, read_images  # noqa: E402
from jreid.run.reporter import check_writers, first_message, make_reporter  # noqa: E402
from jreid.run.training_set import write_training_set  # noqa: E402
from jreid.run.workdir import open_workdir, require_shared  # noqa: E402
from jreid.training.build import rates_at  # noqa: E402
from jreid.training.plan import stop_of  # noqa: E402
from jreid.training.scalars import ScalarWindow  # noqa: E402


def train(config: Config, workdir: Path, begun: Begun | None = None) -> int:
    """Runs or continues the run in `workdir`; returns the exit code."""
    trim_after_compiling()
    keep_compiled_programs()
    main = Progress.shown = distributed.is_main()
    with open_workdir(workdir, config) if main else contextlib.nullcontext():
        distributed.agree(config.shared())
        require_shared(workdir)
        if scored := scores_of_finished(config, workdir):
            if main:
                print_finished(scored, workdir)
            return 0
        if main:
            check_writers(config.log.writers)
            say(describe_devices())
        # Everything is built and checked before anything is written.
        weights = pretrained.weights_of_new_run(config, workdir)
        images = read_images(config, begun and begun.dataset)
        run = build_run(config, images)
        results.check_scorable(config, images)
        if weights:
            run.state = pretrained.with_weights(run.state, weights, config.memory)
        distributed.agree(facts(images, weights))
        if main:
            write_training_set(workdir, images, run.phases)
        if main and weights:
            pretrained.write_record(workdir, weights, run.state.params)
        about = pretrained.describe(weights, run.state.params) if weights else ""
        if exit_code := _loop(config, workdir, run, about):
            return exit_code
        finish(config, workdir, run)
        return 0


def _loop(config: Config, workdir: Path, run: Run, about: str) -> int:
    """Takes the steps that are left; returns 0, or the code of a signal."""
    stop = stop_of(config, run.phases)
    listed = partial(list_batch, workdir, run)
    with (
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as saved,
        Interrupt() as interrupt,
    ):
        vote = StopVote(run.mesh)
        run.state, start = resume(saved, run.state, config.checkpoint.step)
        window = ScalarWindow(start + 1, listed, run.optimizers)
        with make_reporter(
            workdir,
            total_steps=stop,
            first_step=start + 1,
            writers=config.log.writers,
        ) as reporter:
            params = run.state.params
            reporter.message(first_message(workdir, start, stop, params, about))
            taken = run.batches(start, stop)
            batches = window.timed(taken, lambda: run.hook_seconds)
            for step, (phase, batch) in enumerate(batches, start + 1):
                images = run.images_per_step[phase.number]
                window.add(run.step(step, phase, batch), images)
                if step - 1 in (start, phase.first):
                    reporter.steps_of(images)
                stopping = vote(interrupt.number)  # the same in every process
                saving = phase.ends_epoch(step, config.checkpoint.every_epochs)
                saving = saving or stopping or step == stop
                validating = phase.ends_epoch(step, config.evaluation.every_epochs)
                validating = validating and not stopping
                if saving or validating or step % config.log.every_steps == 0:
                    # The means wait for the device.
                    metrics = window.means() | rates_at(run.rates, step - 1)
                    if validating:
                        metrics |= run.embedder.validate(run.state, run.images.val)
                    try:  # first: a run that is killed now lacks no line
                        reporter.scalars(step, metrics)
                    finally:
                        if saving:
                            saved.save(step, run.state)
                else:
                    reporter.step(step)
                if saving or validating:
                    window.restart_clock()
                if stopping:
                    saved.wait()
                    reporter.message(f"stopped after step {step}; it is saved")
                    return 128 + stopping
            stopping = vote(interrupt.number)
    return 128 + stopping if stopping else 0


def program(arguments: list[str], begun: Begun | None = None) -> int:
    """Trains with the command line's config, parsed now if that is not done."""
    quieten_tensorflow()
    begun = begun or Begun(parse(arguments))
    config, options = begun.given.config, begun.given.options
    workdir, splits = options.workdir or Path("runs") / config.name, options.splits
    if splits or getattr(config.data, "split", None) == 0:
        return split_training.train_all(config, workdir, splits, begun.given.words)
    with distributed.joined(**dataclasses.asdict(config.distributed)):
        return train(config, workdir, begun)


SMALLER = (
    "In another --workdir take fewer images in a batch (--config.sampling.identities=, "
    "--config.sampling.images=) or --config.precision=bfloat16; with "
    "--config.evaluation.batch_size= and the same command fewer are embedded at once"
)


def main(arguments: list[str], begun: Begun | None = None) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(partial(program, begun=begun), arguments, SMALLER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], begun))
