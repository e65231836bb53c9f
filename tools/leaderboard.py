"""Trains systems side by side and ranks them in one table.

    python tools/leaderboard.py --config sysu --systems rle deen mmn --seeds 3 \\
        --config.data.root=SYSU-MM01
    python tools/leaderboard.py --config demo --systems full rle --seeds 1

Trains what is missing, goes on with what was stopped, scores again what was scored
otherwise, leaves what is finished. All are scored by one protocol, without re-ranking.
Writes leaderboard.html, .csv, .md and .png
into --out: means over seeds with 95 % intervals over identities, published numbers
beside them, the paired test against the next row, and what each system costs.
"""

import importlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid import __version__, command_line, ending  # noqa: E402
from jreid.config import Config  # noqa: E402
from jreid.config_differences import differences  # noqa: E402
from jreid.config_json import from_json  # noqa: E402
from jreid.evaluation.files.results_file import read_results  # noqa: E402
from jreid.evaluation.mean_of_scores import mean_over_seeds  # noqa: E402
from jreid.evaluation.score import Score  # noqa: E402
from jreid.run.finished import UNFINISHED  # noqa: E402
from jreid.run.run_folders import RunFolder  # noqa: E402
from jreid.run.split_training import Child  # noqa: E402
from jreid.run.workdir import METRICS, read_config  # noqa: E402
from jreid.stopping import SIGNALS  # noqa: E402
from jreid.streams import say  # noqa: E402
from tools import leaderboard_page, step_costs  # noqa: E402
from tools.system_cost import images_seen, measured_cost  # noqa: E402

shipped = importlib.import_module("jreid.configs.systems")  # configs/ of the checkout
_STOPPED = tuple(128 + number for number in SIGNALS)
_PLACES = ("config.data.root", "config.data.tfds")  # where the images are


@dataclass(slots=True)
class Options:
    """What is compared, and where it goes."""

    systems: tuple[str, ...] = ("full",)
    """Names of systems, as after the colon of --config; "all": every one."""
    seeds: int = 1
    """Runs of each system, of seeds 0, 1 ..."""
    images: int = 0
    """Images that each run sees, rows of all views; 0: as its own schedule says."""
    runs: Path = Path("runs/leaderboard")
    """Folder of the runs."""
    out: Path = Path("leaderboard")
    """Folder of the table."""
    step_costs: Path | None = None
    """Folder of reports of tools/step_costs.py, to show what a step needs."""
    train: bool = True
    """Whether to train; --no_train shows what is there."""


@dataclass(slots=True)
class Nothing:
    """No options."""


PROGRAM = "python tools/leaderboard.py"
parse = partial(
    command_line.parse_with_config,
    program=PROGRAM,
    description=str(__doc__).partition("\n")[0],
)


@dataclass(frozen=True)
class Planned:
    """One run: its folder, its config, and the words that make it."""

    system: str
    seed: int
    folder: Path
    config: Config
    words: list[str]


def main(arguments: list[str]) -> int:
    """Exit code 2 and one line for what is refused; that of a training that failed."""
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> int:
    """Trains, scores and writes the table."""
    given = parse(Options, arguments=arguments, default="demo")
    options = given.options
    if getattr(given.config.data, "split", None) == 0:
        raise ValueError(
            "config.data.split is 0, all ten splits; the table takes one: give "
            "--config.data.split=1 to 10"
        )
    names = step_costs.named(options.systems)
    draw = given.config.evaluation.draw
    words = [*given.words[:2], *step_costs.overrides(arguments)]
    plans = [list(planned(name, words, options, draw)) for name in names]
    # All are looked at before one is trained: a folder of another run ends it at once.
    lacking = [run for runs in plans for run in runs if lack(run)]
    failed = train(lacking) if options.train else 0
    if failed in _STOPPED:
        return failed
    finished = [runs for runs in plans if all(map(is_finished, runs))]
    for runs in [runs for runs in plans if runs not in finished]:
        say(f"note: {runs[0].system} is left out: {_lacks(runs)}")
    if not finished and failed:
        return failed
    if not finished:
        raise ValueError(
            f"no system is finished in {options.runs}, as the notes above say: leave "
            "out --no_train, or give another --runs"
        )
    rows = [row_of(runs, options.step_costs) for runs in finished]
    synthetic = given.config.data.root == "synvi"
    for path in leaderboard_page.write(options.out, rows, synthetic=synthetic):
        print(path)
    return failed


def train(lacking: Sequence[Planned]) -> int:
    """Trains the runs in turn, passing over what fails, with a note.

    Returns:
        The exit code of the first that failed, 0 if none did; 128 plus a signal's
        number as soon as one came, which the training has answered by a checkpoint.
    """
    failed = 0
    with Child() as child:
        for run in lacking:
            trained = [sys.executable, "-m", "jreid.train", *run.words]
            code = child.run(trained, cwd=ROOT)
            named = f"{run.system} seed {run.seed}"
            if code in _STOPPED:
                say(f"stopped in {named}; the same command continues")
                return code
            if code:
                say(f"note: {named} failed with exit code {code}, see above")
            failed = failed or code
    return failed


def planned(
    system: str, words: Sequence[str], options: Options, draw: str
) -> Iterator[Planned]:
    """The runs of a system, one of each seed, all scored with this draw."""
    _, spec, *overrides = words
    for seed in range(options.seeds):
        folder = (ROOT / options.runs / f"{system}-seed{seed}").resolve()
        own = [
            *("--config", f"{spec.partition(':')[0]}:{system}"),
            *overrides,
            f"--config.seed={seed}",
        ]
        config = parse(Nothing, arguments=own).config
        if config.evaluation.draw != draw:  # one protocol for all
            own.append(f"--config.evaluation.draw={draw}")
        if options.images:
            once = replace(config, steps_per_epoch=1)
            steps = options.images / images_seen(once)
            own.append(f"--config.steps_per_epoch={max(1, round(steps))}")
        config = parse(Nothing, arguments=own).config
        yield Planned(system, seed, folder, config, [*own, "--workdir", str(folder)])


def is_finished(run: Planned) -> bool:
    """Whether the folder holds this run, trained to its end and scored by its config.

    Raises:
        ValueError: it holds another run.
    """
    return not lack(run)


def lack(run: Planned) -> str:
    """What a folder lacks of its run, in words; "" if it is trained and scored.

    Raises:
        ValueError: it holds another run, one on other images, or one of more steps.
    """
    there = RunFolder(run.folder, run.config)
    newest, steps = there.newest_step(), run.config.steps
    if not newest:  # one that failed at once may change its config
        return "has no checkpoint"
    _refuse_another(run)
    if steps and newest > steps:
        raise ValueError(
            f"{run.folder} is trained for {newest} steps, and config.steps is {steps}: "
            f"give another --runs, or --config.steps={newest}"
        )
    if newest < (last := there.last_step()):
        return f"ended at step {newest} of {last}"
    try:
        about, _ = read_results(run.folder / "results.json")
        scored = from_json(about["config"])
    except (OSError, ValueError, KeyError):
        return "is not scored"
    if (run.folder / UNFINISHED).exists():
        return "has part of its report"
    if about["step"] != newest:
        return f"is scored at step {about['step']}, not at {newest}"
    if (version := about.get("version", "unknown")) != __version__:
        return f"is scored by jreid {version}, not by {__version__}"
    other = [path for path, *_ in differences(scored, run.config)]
    return f"is scored with another {', '.join(other)}" if other else ""


def _refuse_another(run: Planned) -> None:
    stored = from_json(read_config(run.folder))
    # Images may have moved since; that they are the same is known once they are read.
    changed = [
        path
        for path, *_, free in differences(stored, run.config)
        if not free or path in _PLACES
    ]
    if changed:
        raise ValueError(
            f"{run.folder} is a run that differs in {', '.join(changed)}: give another "
            "--runs, or remove it"
            + "; if its images have only moved, python -m jreid.train with this "
            "--workdir goes on from there" * set(changed).issubset(_PLACES)
        )


def _lacks(runs: Sequence[Planned]) -> str:
    """What the seeds of a system lack."""
    lacks = {run.seed: lack(run) for run in runs}
    return "; ".join(f"seed {seed} {why}" for seed, why in lacks.items() if why)


def row_of(runs: Sequence[Planned], steps: Path | None) -> "leaderboard_page.Row":
    """Means over the seeds of one system, and its cost.

    Raises:
      ValueError: the folder `steps` has no report of it.
    """
    scored = [
        [s for s in read_results(run.folder / "results.json")[1] if _counts(s)]
        for run in runs
    ]
    means = mean_over_seeds(scored, [run.seed for run in runs])
    first = runs[0]
    logged = [speed for run in runs for speed in speeds(run.folder)]
    return leaderboard_page.Row(
        system=first.system,
        seeds=len(runs),
        scores={(score.protocol, score.setting): score for score in means},
        published=shipped.published().get(first.system, {}),
        cost=measured_cost(first.config),
        speed=statistics.median(logged) if logged else None,
        step=step_costs.read(steps, first.system) if steps else None,
    )


def speeds(folder: Path) -> list[float]:
    """Images a second of a run's training, as it logged them; none where it did not."""
    path = folder / METRICS
    lines = path.read_text().splitlines() if path.is_file() else []
    logged = [json.loads(line).get("images_per_second") for line in lines]
    return [speed for speed in logged if speed]


def _counts(score: Score) -> bool:
    return score.feature == "fused" and not score.reranked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
