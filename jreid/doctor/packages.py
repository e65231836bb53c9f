"""Checks of Python and its packages."""

import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from jreid import __version__
from jreid.doctor import requirements
from jreid.doctor.finding import Finding
from jreid.doctor.requirements import Requirement

PYTHONS = ((3, 11), (3, 13))  # the first and the last tested
SECONDS = 180  # for which an import is waited
SHOWN = 6
IMPORTS = (
    *("numpy", "scipy", "PIL", "pyarrow", "matplotlib", "jaxtyping", "jax", "flax"),
    *("optax", "orbax.checkpoint", "tensorflow", "clu.parameter_overview"),
)
_IMPORT = """
import sys
for name in sys.argv[1:]:
    print(name, flush=True)
    __import__(name)
"""
PACKAGES = {"PIL": "pillow", "orbax": "orbax-checkpoint"}


def check_python() -> Finding:
    """The interpreter's version."""
    words = f"{platform.python_version()}, jreid {__version__}, {sys.prefix}"
    version = sys.version_info[:2]
    first, last = (".".join(map(str, python)) for python in PYTHONS)
    remedy = f"python{last} -m venv .venv"
    if version < PYTHONS[0]:
        return Finding("fail", "python", f"{words}; {first} or newer is needed", remedy)
    if version > PYTHONS[1]:
        return Finding("warn", "python", f"{words}; tested up to {last}", remedy)
    return Finding("ok", "python", words)


def check_packages() -> Finding:
    """Required packages: there, new enough, and as tested."""
    return judge_packages(
        requirements.required()[""], requirements.installed, requirements.tested()
    )


def judge_packages(needed: Sequence[Requirement], installed, tested) -> Finding:
    """Of `check_packages`, from what is needed, installed and tested."""
    versions = {each.name: installed(each.name) for each in needed}
    missing = [name for name, version in versions.items() if not version]
    if missing:
        words = f"not installed: {', '.join(missing)}"
        return Finding("fail", "packages", words, install())
    old = [
        f"{each.name} {versions[each.name]} (needed: {each.least})"
        for each in needed
        if each.least and requirements.is_older(versions[each.name], each.least)
    ]
    if old:
        return Finding("fail", "packages", f"too old: {', '.join(old)}", install())
    differ = [
        f"{name} {version} ({tested[name]})"
        for name, version in versions.items()
        if tested.get(name, version) != version
    ]
    if not differ:
        words = f"all {len(versions)} required ones are the tested versions"
        return Finding("ok", "packages", words)
    more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    words = f"other versions than (those tested): {', '.join(differ[:SHOWN])}{more}"
    return Finding("warn", "packages", words, install())


def install(extra: str = "") -> str:
    """The command that installs jreid as it was tested."""
    bracket = f"[{extra}]" if extra else ""
    checkout = requirements.CHECKOUT
    if (checkout / "pyproject.toml").is_file():
        return f"cd {checkout} && pip install -c constraints.txt -e '.{bracket}'"
    return f"pip install 'jreid{bracket}'"


def check_imports(names: Sequence[str] = ()) -> Finding:
    """Imports what a training imports, in a process of its own, which may crash."""
    names = names or IMPORTS
    command = [sys.executable, "-c", _IMPORT, *names]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        words = f"the imports of a training have not ended in {SECONDS} s"
        return Finding("fail", "imports", words, "python -X importtime -c 'import jax'")
    if ran.returncode == 0:
        return Finding("ok", "imports", ", ".join(names))
    begun = ran.stdout.split()[-1]
    package = begun.split(".")[0]
    words = f"`import {begun}` fails: {why(ran.returncode, ran.stderr)}"
    return Finding("fail", "imports", words, reinstall(_package_of(package)))


def _package_of(module: str) -> str:
    if module != "tensorflow":
        return PACKAGES.get(module, module)
    builds = ("tensorflow", "tensorflow-cpu")  # by processor and system
    needed = requirements.required()[""]
    return next(each.name for each in needed if each.name in builds)


def reinstall(*packages: str) -> str:
    """The command that installs packages anew, as they were tested."""
    tested = requirements.tested()
    pinned = [f"{p}=={tested[p]}" if p in tested else p for p in packages]
    return f"pip install --force-reinstall --no-deps {' '.join(pinned)}"


def why(code: int, errors: str) -> str:
    """In words how a process ended that should not have."""
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {code}"


def check_extras() -> Finding:
    """Which extras are installed; none is needed to train."""
    return judge_extras(requirements.required(), requirements.installed)


def judge_extras(groups: Mapping[str, Sequence[Requirement]], installed) -> Finding:
    """Of `check_extras`, from what each extra needs and what is installed."""
    extras = {name: group for name, group in groups.items() if name not in ("", "test")}
    there = [
        extra
        for extra, group in extras.items()
        if all(installed(requirement.name) for requirement in group)
    ]
    absent = [extra for extra in extras if extra not in there]
    words = f"installed: {', '.join(there) or 'none'}"
    if absent:
        example = install("NAME").partition("&& ")[2] or install("NAME")
        words += f"; not installed: {', '.join(absent)} ({example})"
    return Finding("ok", "extras", words)
