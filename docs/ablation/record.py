"""Takes a finished run of rows.py into recipe.json, curves.json and by_identity.json.

    python docs/ablation/record.py --name row-full-relu-.03-s1 --run runs/full-1 \\
        --commit 60c5a2e --config docs/ablation/rows.py:full \\
        --config.steps_per_epoch=5 --config.optimizer.lr=0.03 --config.seed=1
    python docs/ablation/draw.py

The command is the run's own, and is checked against it. A name that is there is
written anew.
"""

import json
import shlex
import sys
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
    """Reads the run and writes the three files."""
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
    score = test_score(options.run)
    curves = means(read_lines(options.run))
    words = [w for w in given.words if not w.startswith("--config.pretrained")]
    entry = {
        "run": options.name,
        "command": shlex.join(words),
        "commit": options.commit,
        "machine": options.machine,
        **summary(score, curves),
    }
    parts = by_identity(score)
    put(HERE / "recipe.json", "runs", options.name, entry)
    put(HERE / "curves.json", "curves", options.name, curves)
    put(HERE / "by_identity.json", "runs", options.name, parts)
    print(json.dumps(entry, indent=1))
    return 0


def test_score(run: Path) -> Score:
    """All-search single-shot, fused, not re-ranked."""
    for score in read_results(run / "results.json")[1]:
        plain = score.feature == "fused" and not score.reranked
        if plain and score.setting == "all-search single-shot":
            return score
    raise ValueError(f"{run / 'results.json'} has no all-search single-shot score")


def read_lines(run: Path) -> list[dict[str, Any]]:
    """The lines of training steps, in order."""
    lines = map(json.loads, (run / METRICS).read_text().splitlines())
    return [line for line in lines if "loss" in line]


def means(lines: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Each scalar's mean over the ten steps before a step; None: not all finite.

    A line is itself the mean over the steps since the line before.
    """
    last = np.array([line["step"] for line in lines])
    steps = np.diff(last, prepend=0)
    at = range(WINDOW, last[-1] + 1, WINDOW)
    curves: dict[str, list[Any]] = {"step": list(at)}
    kept = ("loss/", "part/"), ("loss", "lr", "grad_norm", "cosine_v1_v2")
    for name in sorted(lines[0]):
        if not (name.startswith(kept[0]) or name in kept[1]):
            continue
        values = np.array([line[name] for line in lines], float)  # null is NaN
        curves[name] = []
        for step in at:
            inside = (last > step - WINDOW) & (last <= step)
            mean = np.average(values[inside], weights=steps[inside])
            curves[name].append(float(f"{mean:.4g}") if np.isfinite(mean) else None)
    return curves


def summary(score: Score, curves: dict[str, list[Any]]) -> dict[str, Any]:
    """What recipe.json says of a run besides its command."""
    heads = {k.partition("identity_")[2]: v for k, v in curves.items() if IDENTITY in k}
    finite = all(None not in curve for curve in curves.values())
    found: dict[str, Any] = {"steps": curves["step"][-1], "finite": finite}
    found["test"] = {name: round(100 * score.mean[name], 2) for name in SCORES}
    if "cosine_v1_v2" in curves:
        found["cosine_v1_v2"] = curves["cosine_v1_v2"][-1]
    found["identity_last"] = {name: curve[-1] for name, curve in heads.items()}
    if finite:
        found["identity_largest"] = {name: max(curve) for name, curve in heads.items()}
    return found


def by_identity(score: Score) -> dict[str, Any]:
    """What each test identity adds, for paired tests: see ByIdentity."""
    parts = score.by_identity
    if parts is None:
        raise ValueError("the score has no parts by identity: score the run again")
    sums = {name: [round(x, 4) for x in parts.sums[name]] for name in SCORES[:2]}
    return {"identities": parts.identities, "queries": parts.queries, **sums}


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
