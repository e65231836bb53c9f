"""Takes a finished run into the JSON files of this folder.

    python docs/ablation/record.py --name row-full-relu-.03-s1 --run runs/full-1 \\
        --commit 60c5a2e --config docs/ablation/rows.py:full \\
        --config.steps_per_epoch=5 --config.optimizer.lr=0.03 --config.seed=1
    python docs/ablation/draw.py

A run of rows.py goes into recipe.json, curves.json and by_identity.json; of imagenet.py
or of the demo config from weights into imagenet.json; of the demo config from random
weights into demo_systems.json and demo_by_identity.json.
The command is the run's own, and is checked against it. A name that is there is
written anew.
"""

import json
import shlex
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from jreid import command_line, ending  # noqa: E402
from jreid.config_differences import differences  # noqa: E402
from jreid.config_json import from_json  # noqa: E402
from jreid.evaluation.files.results_file import read_results  # noqa: E402
from jreid.evaluation.score import Score  # noqa: E402
from jreid.run.run_folders import RunFolder  # noqa: E402
from jreid.run.workdir import METRICS, read_config  # noqa: E402
from jreid.whole_files import write_text  # noqa: E402

Entry = dict[str, Any]
WINDOW = 10  # steps whose mean is a point of a curve
PLACES = ("config.name", "config.pretrained")  # not what was trained
SCORES = ("R-1", "mAP", "mINP")
IDENTITY = "loss/identity_"
ABOUT = (
    "What each test identity adds to a run's scores, sums over its queries and means "
    "over trials; see jreid.evaluation.statistics.ByIdentity"
)


@dataclass(slots=True)
class Options:
    """Which run, and under which name."""

    name: str = ""
    """Of its entry."""
    run: Path = Path("runs")
    """Its folder."""
    commit: str = ""
    """Of the checkout that trained it."""
    machine: str = "one CPU core, float32"
    """What trained it."""


def main(arguments: list[str]) -> int:
    """Exit code 2 and one line for what is refused."""
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> int:
    """Reads the run and writes the files that are of its kind."""
    parse = partial(
        command_line.parse_with_config,
        Options,
        "python docs/ablation/record.py",
        description=str(__doc__).partition("\n")[0],
    )
    given = parse(arguments)
    options = given.options
    if not options.name or not options.commit:
        raise ValueError("--name and --commit are needed")
    trained = from_json(read_config(options.run))
    changed = [d[0] for d in differences(trained, given.config) if not d[3]]
    changed = [path for path in changed if path not in PLACES]
    if changed:
        raise ValueError(
            f"{options.run} is of another command: {', '.join(changed)} differ"
        )
    run = RunFolder(options.run, trained)
    if run.newest_step() < run.last_step():
        raise ValueError(f"{options.run} is not finished: train it to its end")
    words = [w for w in given.words if not w.startswith("--config.pretrained")]
    kept = {
        "command": shlex.join(words),
        "commit": options.commit,
        "machine": options.machine,
    }
    take = taker(words[words.index("--config") + 1], pretrained=trained.pretrained)
    print(json.dumps(take(options.name, options.run, kept), indent=1))
    return 0


def taker(config: str, *, pretrained: str) -> Callable[[str, Path, Entry], Entry]:
    """What takes runs of a config in: (name, folder, command and commit) to entry."""
    file = config.partition(":")[0]
    demo = take_imagenet if pretrained else take_demo
    takers = {
        "rows.py": take_row,
        "imagenet.py": take_imagenet,
        "demo": demo,
        "demo.py": demo,
    }
    if (name := Path(file).name) not in takers:
        raise ValueError(f"nothing here is of {file}, only of {', '.join(takers)}")
    return takers[name]


def take_row(name: str, run: Path, kept: Entry) -> Entry:
    """A row of the paper's tables, with its curves and parts by identity."""
    score = test_score(run)
    lines = read_lines(run)
    curves, parts = means(lines), by_identity(score)
    entry = {"run": name, **kept, "steps": lines[-1]["step"], **summary(score, curves)}
    if validated := validation(lines):
        entry["validation"] = validated
    put(HERE / "recipe.json", "runs", name, entry)
    put(HERE / "curves.json", "curves", name, curves)
    put(HERE / "by_identity.json", "runs", name, parts)
    return entry


def take_imagenet(name: str, run: Path, kept: Entry) -> Entry:
    """A system from ImageNet weights, with every logged loss."""
    lines = read_lines(run)
    losses = {str(line["step"]): losses_of(line) for line in lines}
    entry = {**kept, **with_interval(test_score(run)), "losses": losses}
    put(HERE / "imagenet.json", "runs", name, entry)
    return entry


def take_demo(name: str, run: Path, kept: Entry) -> Entry:
    """A system of the demo, re-ranked too, with its last losses and its speed."""
    score, lines = test_score(run), read_lines(run)
    again = rates(test_score(run, reranked=True))
    speeds = [x["images_per_second"] for x in lines if x.get("images_per_second")]
    entry = {
        **kept,
        **with_interval(score),
        **{f"re-ranked {key}": rate for key, rate in again.items()},
        **{f"validation {key}": rate for key, rate in validation(lines).items()},
        "last losses": losses_of(lines[-1]),
        "images a second": round(statistics.median(speeds), 1),
    }
    parts = by_identity(score)
    path = HERE / "demo_by_identity.json"
    same = json.loads(path.read_text())
    if any(same[key] != parts[key] for key in ("identities", "queries")):
        raise ValueError(f"{run} has other test images than {path.name}")
    put(HERE / "demo_systems.json", "runs", name, entry)
    put(path, "R-1", name, parts["R-1"])
    return entry


def test_score(run: Path, *, reranked: bool = False) -> Score:
    """All-search single-shot, fused."""
    for score in read_results(run / "results.json")[1]:
        wanted = score.feature == "fused" and score.reranked == reranked
        if wanted and score.setting == "all-search single-shot":
            return score
    raise ValueError(
        f"{run / 'results.json'} has no all-search single-shot score"
        + ", re-ranked" * reranked
    )


def rates(score: Score) -> Entry:
    """A score's means, in percent."""
    return {name: round(100 * score.mean[name], 2) for name in SCORES}


def with_interval(score: Score) -> Entry:
    """And the interval of its rank-1 rate over identities."""
    ends = [round(100 * end, 2) for end in score.interval["R-1"]]
    return {**rates(score), "R-1 95 %": ends}


def read_lines(run: Path) -> list[Entry]:
    """The lines of training steps, in order."""
    lines = map(json.loads, (run / METRICS).read_text().splitlines())
    return [line for line in lines if "loss" in line]


def validation(lines: list[Entry]) -> Entry:
    """The last line's scores of the validation identities, in percent, if it has any.

    They are there with --config.evaluation.every_epochs of the run's length.
    """
    found = {name: lines[-1].get(f"validation/{name}") for name in SCORES[:2]}
    return {name: round(100 * x, 2) for name, x in found.items() if x is not None}


def losses_of(line: Entry) -> dict[str, float | None]:
    """A line's losses, each player's too; None: not finite."""
    names = sorted(name for name in line if "loss" in name.split("/"))
    return {name: line[name] and round(line[name], 4) for name in names}


def means(lines: list[Entry]) -> dict[str, list[Any]]:
    """Each scalar's mean over the ten steps before a step; None: not all finite.

    A line is itself the mean over the steps since the line before, and counts with
    those of them that are among the ten.
    """
    last = np.array([line["step"] for line in lines])
    before = np.concatenate(([0], last[:-1]))
    at = range(WINDOW, last[-1] + 1, WINDOW)
    curves: dict[str, list[Any]] = {"step": list(at)}
    kept = ("loss/", "part/"), ("loss", "lr", "grad_norm", "cosine_v1_v2")
    for name in sorted(lines[0]):
        if not (name.startswith(kept[0]) or name in kept[1]):
            continue
        values = np.array([line[name] for line in lines], float)  # null is NaN
        curves[name] = []
        for step in at:
            steps = np.minimum(last, step) - np.maximum(before, step - WINDOW)
            inside = steps > 0
            mean = np.average(values[inside], weights=steps[inside])
            curves[name].append(float(f"{mean:.4g}") if np.isfinite(mean) else None)
    return curves


def summary(score: Score, curves: dict[str, list[Any]]) -> Entry:
    """What recipe.json says of a run besides its command."""
    heads = {k.partition("identity_")[2]: v for k, v in curves.items() if IDENTITY in k}
    finite = all(None not in curve for curve in curves.values())
    found: Entry = {"finite": finite, "test": rates(score)}
    if "cosine_v1_v2" in curves:
        found["cosine_v1_v2"] = curves["cosine_v1_v2"][-1]
    found["identity_last"] = {name: curve[-1] for name, curve in heads.items()}
    if finite:
        found["identity_largest"] = {name: max(curve) for name, curve in heads.items()}
    return found


def by_identity(score: Score) -> Entry:
    """What each test identity adds, for paired tests: see ByIdentity."""
    parts = score.by_identity
    if parts is None:
        raise ValueError("the score has no parts by identity: score the run again")
    sums = {name: [round(x, 4) for x in parts.sums[name]] for name in SCORES[:2]}
    of = {"identities": list(parts.identities), "queries": list(parts.queries)}
    return {**of, **sums}


def put(path: Path, key: str, name: str, value: Any) -> None:
    """Writes an entry, in a list of such or in a dict, sorted by names, one a line."""
    whole = json.loads(path.read_text()) if path.exists() else {"about": ABOUT, key: {}}
    entries = whole[key]
    named = {x["run"]: x for x in entries} if isinstance(entries, list) else entries
    named = dict(sorted((named | {name: value}).items()))
    if isinstance(entries, list):
        lines = [json.dumps(entry) for entry in named.values()]
    else:
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in named.items()]
    opened, closed = "[]" if isinstance(entries, list) else "{}"
    head = json.dumps({k: v for k, v in whole.items() if k != key})[:-1]
    body = ",\n".join(lines)
    write_text(path, f"{head}, {json.dumps(key)}: {opened}\n{body}\n{closed}}}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
