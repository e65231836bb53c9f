"""Scoring features where there are NumPy, SciPy, tyro and this package alone."""

import importlib.util
import pathlib
import subprocess
import sys
import venv

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
# tyro parses the command line, with the two packages that it needs.
PACKAGES = (
    *("numpy", "scipy"),
    *("tyro", "typeguard", "docstring_parser", "typing_extensions"),
)
IMPORT_SECONDS = 3.0  # CPU time; about 0.3 where nothing else runs
HEAVY = ("jax", "flax", "tensorflow", "jaxtyping", "absl", "matplotlib", "h5py", "PIL")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> pathlib.Path:
    """The interpreter of a new environment, into which few packages are linked."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        home = pathlib.Path(found.origin)
        if home.name == "__init__.py":
            home = home.parent
        for part in (home, home.with_name(f"{name}.libs")):
            if part.exists():  # wheels for Linux keep their libraries beside them
                (packages / part.name).symlink_to(part)
    (packages / "jreid").symlink_to(ROOT / "jreid")
    return folder / "bin" / "python"


def run(python, *arguments, **options):
    """Nothing but the environment's own packages can be imported."""
    return subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, **options
    )


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> pathlib.Path:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(5), 12)
    path = tmp_path_factory.mktemp("features") / "features.npz"
    np.savez(
        path,
        features=rng.normal(size=(60, 8)) + np.eye(8)[ids],
        ids=ids,
        cameras=np.tile(np.arange(1, 7), 10),
    )
    return path


def test_nothing_else_is_installed(python):
    code = (
        "import importlib.util\n"
        f"for name in {HEAVY}: assert not importlib.util.find_spec(name), name"
    )
    assert run(python, "-c", code).stderr == ""


def test_features_are_scored_and_compared(python, features, tmp_path):
    score = ("-m", "jreid.evaluate", "--features", features, "--protocol", "sysu")
    options = ("--trials", "2", "--out", tmp_path / "a")
    done = run(python, *score, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SYSU-MM01 protocol, all-search single-shot" in done.stdout
    assert "no cmc.png, which needs matplotlib" in done.stdout
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["results.json"]
    command = ("-m", "jreid.evaluate", "--compare", tmp_path / "a", "paper")
    done = run(python, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a: features, re-ranked" in done.stdout


def test_matplotlib_is_all_that_a_picture_needs(features, tmp_path):
    arguments = ["--features", str(features), "--protocol", "sysu", "--no-rerank"]
    arguments += ["--trials", "1", "--out", str(tmp_path)]
    absent = [name for name in HEAVY if name not in ("matplotlib", "PIL")]
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({absent}))\n"
        f"from jreid import evaluate\nsys.exit(evaluate.main({arguments}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cmc.png").exists()


ON_WINDOWS = """
import os, signal, sys
import numpy, scipy.linalg, scipy.stats, tyro  # which know Windows themselves
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("fchmod", "uname", "sched_getaffinity", "fork", "getuid"):
    delattr(os, name)
del signal.SIGHUP
from jreid import MODULE
sys.exit(MODULE.main(sys.argv[1:]))
"""


def test_scoring_needs_nothing_that_windows_lacks(features, tmp_path):
    arguments = ("--features", str(features), "--protocol", "sysu", "--trials", "1")
    done = subprocess.run(
        [sys.executable, "-c", ON_WINDOWS.replace("MODULE", "evaluate"), *arguments]
        + ["--no-rerank", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert "SYSU-MM01 protocol, all-search single-shot" in done.stdout
    assert (tmp_path / "results.json").exists()


def test_three_lines_of_python_do_the_same(python, features):
    code = (
        "from jreid.evaluation.files.features_file import score_file\n"
        "from jreid.evaluation.table import format_table\n"
        f"print(format_table(score_file({str(features)!r}, 'sysu', trials=2)))\n"
        f"import sys; assert not {{'tyro', 'typeguard'}} & set(sys.modules)"
    )
    done = run(python, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "indoor-search multi-shot" in done.stdout


def test_a_run_cannot_be_scored_and_it_is_said_why(python, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = run(python, "-m", "jreid.evaluate", "--workdir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: scoring a run needs the whole of jreid")


def test_importing_the_protocols_takes_well_under_a_second(python):
    code = (
        "import jreid.evaluation.score_features, sys, time\n"
        f"assert not set({HEAVY}) & set(sys.modules)\n"
        "print(time.process_time())"
    )
    # Once more, since the first import may write bytecode.
    seconds = min(float(run(python, "-c", code).stdout) for _ in range(2))
    print(f"{seconds:.2f} CPU seconds")
    assert seconds < IMPORT_SECONDS
