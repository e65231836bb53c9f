"""Checks that this commit can be released, and leaves sdist and wheel in dist/.

    make release                       # before a release is made
    make release ARGS=--unreleased     # at any time between releases

Version, CHANGELOG.md and CITATION.cff agree; the sdist has what its tests read; the
wheel is built from it, installed into an empty environment, and trains and scores from
another folder.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
SCORING = """
import numpy as np
from jreid.evaluation.files.features_file import score_file
from jreid.evaluation.table import format_table
rng, ids = np.random.default_rng(0), np.repeat(np.arange(5), 12)
rows = rng.normal(size=(60, 8)) + np.eye(8)[ids]
np.savez("features.npz", features=rows, ids=ids, cameras=np.tile(np.arange(1, 7), 10))
print(format_table(score_file("features.npz", "sysu", trials=2)))
"""

# Of tests, those that read the project's own files.
OF_FILES = ("tests/test_documented_commands.py", "tests/test_release.py")
PAGE = """
from importlib.resources import files
for name in ("index.html", "page.css", "page.js", "icon.svg"):
    assert (files("jreid.serve") / "page" / name).is_file(), f"{name} is missing"
"""


def disagreements(version: str, changelog: str, citation: str) -> list[str]:
    """What keeps `version` from being released, a line each; none: nothing."""
    found = []
    entry = re.search(
        rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.M
    )
    if not entry:
        found.append(
            f"CHANGELOG.md has no entry '## [{version}] - YYYY-MM-DD' for the version "
            "in jreid/__init__.py: write it, or change the version"
        )
    _, _, after = changelog.partition("## [Unreleased]\n")
    if after.partition("\n## ")[0].strip():
        found.append(
            "CHANGELOG.md has changes under [Unreleased]: give them a version, and "
            "jreid/__init__.py and CITATION.cff the same"
        )
    for key, value in (("version", version), ("date-released", entry and entry[1])):
        cited = re.search(rf'^{key}: "?([^"\n]+)"?$', citation, re.M)
        if value and (not cited or cited[1] != value):
            given = cited[1] if cited else "missing"
            found.append(f"CITATION.cff: {key} is {given}; it must be {value}")
    return found


def build(out: Path, python: Path) -> Path:
    """sdist, and from it the wheel, whose path is returned."""
    _run(python, "-m", "pip", "install", "-q", "build")
    _run(python, "-m", "build", "--outdir", out, ROOT)
    (wheel,) = out.glob("*.whl")
    return wheel


def collect(sdist: Path, folder: Path) -> None:
    """Unpacks the sdist, collects its tests by this Python and runs `OF_FILES`."""
    _run("tar", "-xzf", sdist, "-C", folder, "--strip-components=1")
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    _run(*pytest, "-qq", "--collect-only", cwd=folder)
    _run(*pytest, "-q", *OF_FILES, cwd=folder)


def use(wheel: Path, python: Path, folder: Path) -> None:
    """Installs the wheel; trains a step of the demo and scores, from `folder`."""
    _run(python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, wheel)
    options = ("--config.steps=1", "--workdir=run")
    _run(python, "-m", "jreid.train", "--config=demo", *options, cwd=folder)
    _run(python, "-m", "jreid", "evaluate", "run", cwd=folder)
    _run(python, "-c", SCORING, cwd=folder)
    _run(python, "-c", PAGE, cwd=folder)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    print("$", *map(str, command), flush=True)
    subprocess.run(command, cwd=cwd, check=True)


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 where all is well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--unreleased",
        action="store_true",
        help="between releases: what is under [Unreleased] is no error",
    )
    given = parser.parse_args(arguments)
    init = (ROOT / "jreid" / "__init__.py").read_text("utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', init, re.M)[0]
    texts = [(ROOT / n).read_text("utf-8") for n in ("CHANGELOG.md", "CITATION.cff")]
    found = disagreements(version, *texts)
    if given.unreleased:
        found = [line for line in found if "[Unreleased]" not in line]
    if found:
        print(*(f"error: {line}" for line in found), sep="\n", file=sys.stderr)
        return 1
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = build(dist, _environment(Path(scratch, "build")))
            (unpacked := Path(scratch, "sdist")).mkdir()
            collect(next(dist.glob("*.tar.gz")), unpacked)
            (folder := Path(scratch, "elsewhere")).mkdir()
            use(wheel, _environment(Path(scratch, "empty")), folder)
    except subprocess.CalledProcessError as error:
        print(f"error: exit code {error.returncode} of the last command above")
        return 1
    print(f"jreid {version}:", *sorted(path.name for path in dist.iterdir()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
