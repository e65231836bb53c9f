"""A table of what a training step of each system needs on an H100, without one.

    python tools/step_costs.py --config sysu --systems rle deen mmn
    python tools/step_costs.py --config sysu --systems all --config.precision=bfloat16

Compiles each system's step, of its own batch and image size, with compile_report.py,
but for those whose report is there from before. Writes SYSTEM.json and step_costs.md
into --out; `tools/leaderboard.py --step_costs FOLDER` shows them beside scores. Times
are roofline estimates; nothing is executed. A system takes one to three minutes, `vsd`,
whose three networks are one program, more than twenty.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid import command_line, ending  # noqa: E402
from jreid.config import Config  # noqa: E402
from jreid.config_hash import config_hash  # noqa: E402
from jreid.evaluation.files.results_file import make_folder  # noqa: E402
from jreid.whole_files import write_text  # noqa: E402

shipped = importlib.import_module("jreid.configs.systems")  # configs/ of the checkout
HEADER = ("M parameters", "size", "batch", "GFLOP", "peak GB", "ms", "ms an image")
NOTE = (
    "One training step on an H100 with 80 GB, as XLA compiles it, not autotuned: the "
    "last phase's, of the system's own batch (rows of all views). GFLOP: of its "
    "products and convolutions. ms: the least that the chip's rates allow, an estimate."
)


@dataclass(slots=True)
class Options:
    """What is compiled, and where the reports go."""

    systems: tuple[str, ...] = ("full",)
    """Names of systems, as after the colon of --config; "all": every one."""
    out: Path = Path("step_costs")
    """Folder of reports and table."""


parse = partial(
    command_line.parse_with_config,
    Options,
    "python tools/step_costs.py",
    description=str(__doc__),
    default="sysu",
)


def main(arguments: list[str]) -> int:
    """Exit code 2 and one line for what is refused."""
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> int:
    """Compiles what is missing and prints the table."""
    given = parse(arguments)
    options, spec, own = given.options, given.words[1], overrides(arguments)
    names = named(options.systems)
    make_folder(options.out)
    base = spec.partition(":")[0]
    for name in names:
        path, words = path_of(options.out, name), ["--config", f"{base}:{name}"]
        words += own
        if path.is_file():
            check_same(path, parse(words).config)
        else:
            words += ["--batch", "0", "--json", str(path)]
            compiler = [sys.executable, str(ROOT / "tools" / "compile_report.py")]
            if code := subprocess.run([*compiler, *words], check=False).returncode:
                return code
    text = table({name: read(options.out, name) for name in names})
    write_text(options.out / "step_costs.md", text)
    print(text)
    return 0


def overrides(arguments: Sequence[str]) -> list[str]:
    """The words of a command line that set fields of the config, as they were typed.

    `Given.words` lacks those that leave the system of --config as it is, which may be
    another's change.
    """
    kept, words = False, []
    for word in arguments:
        if word.startswith("--"):
            kept = word.startswith("--config.")
        words += [word] * kept
    return words


def named(systems: tuple[str, ...]) -> tuple[str, ...]:
    """These, also with commas between them, or every system for "all"."""
    if systems == ("all",):
        return tuple(shipped.systems())
    return tuple(name for word in systems for name in word.split(",") if name)


def path_of(folder: Path, system: str) -> Path:
    """Where a system's report is."""
    return folder / f"{system}.json"


def check_same(path: Path, config: Config) -> None:
    """Raises ValueError where a report is of another config than this one."""
    stored = json.loads(path.read_text())
    asked = {"config": config.name, "precision": config.precision}
    asked |= {"height": config.size[0], "width": config.size[1]}
    asked |= {"config_hash": config_hash(config)}  # last: it says the least to a reader
    for key, value in asked.items():
        if (found := stored.get(key, "unknown")) != value:
            raise ValueError(
                f"{path} is of {key} {found}, not of {value}: give another "
                "--out, or remove it"
            )


def read(folder: Path, system: str) -> dict[str, Any]:
    """A system's report.

    Raises:
      ValueError: there is none.
    """
    path = path_of(folder, system)
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist: python tools/step_costs.py --systems {system} "
            f"--out {folder}"
        )
    return json.loads(path.read_text())


def cells(report: Mapping[str, Any]) -> Sequence[str]:
    """A report's figures as HEADER names them."""
    seconds = report["roofline"]["seconds"]
    return (
        f"{report['parameters'] / 1e6:.1f}",
        f"{report['height']} x {report['width']}",
        str(report["batch"]),
        f"{report['roofline']['flops'] / 1e9:,.0f}",
        f"{report['memory']['peak'] / 1e9:.1f}",
        f"{seconds * 1e3:.1f}",
        f"{seconds * 1e3 / report['batch']:.2f}",
    )


def table(reports: dict[str, dict[str, Any]]) -> str:
    """Markdown, the cheapest image first."""

    def per_image(name):
        return reports[name]["roofline"]["seconds"] / reports[name]["batch"]

    lines = [("system", *HEADER), ("---", *["---:"] * len(HEADER))]
    lines += [(n, *cells(reports[n])) for n in sorted(reports, key=per_image)]
    loops = [n for n in reports if reports[n]["roofline"].get("loops_left_out")]
    left = f" Without loops of unknown length: {', '.join(loops)}." if loops else ""
    return "\n".join([f"| {' | '.join(x)} |" for x in lines] + ["", NOTE + left, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
