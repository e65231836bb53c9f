"""Which packages are needed, by itself and for each extra, and the versions tested."""

import importlib.metadata
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parent
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<bracket>[\w,-]+)\])?\s*(?:>=(?P<least>[\d.]+))?"
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_PYTHON = re.compile(r"python_version\s*(<|>=)\s*['\"](\d+)\.(\d+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A package, and the least version of it."""

    name: str
    least: str = ""


def required() -> dict[str, list[Requirement]]:
    """The requirements of each extra, those without any under ""."""
    if (file := CHECKOUT / "pyproject.toml").is_file():
        project = tomllib.loads(file.read_text())["project"]
        return {
            extra: [found for text in texts if (found := _parse(text))]
            for extra, texts in {
                "": project["dependencies"],
                **project["optional-dependencies"],
            }.items()
        }
    groups: dict[str, list[Requirement]] = {}
    for text in importlib.metadata.requires("jreid") or ():
        extra = _EXTRA.search(text)
        if found := _parse(text):
            groups.setdefault(extra[1] if extra else "", []).append(found)
    return groups


def _parse(text: str) -> Requirement | None:
    """None for an extra that stands for others of our own."""
    found = _REQUIREMENT.match(text)
    if found is None or found["name"] == "jreid":
        return None
    name = found["name"]
    if name == "jax" and found["bracket"]:  # which brings a package of this name
        name = f"jax-{found['bracket']}-plugin"
    return Requirement(name, found["least"] or "")


def tested() -> dict[str, str]:
    """The version of each package that this release is tested with on this Python."""
    places = (CHECKOUT / "constraints.txt", PACKAGE / "constraints.txt")
    file = next((place for place in places if place.is_file()), None)
    versions = {}
    for line in file.read_text().splitlines() if file else ():
        pinned, _, condition = line.partition(";")
        name, _, version = pinned.strip().partition("==")
        if version and _holds(condition):
            versions[name] = version
    return versions


def _holds(condition: str) -> bool:
    found = _PYTHON.search(condition)
    if found is None:
        return True
    is_below = sys.version_info[:2] < (int(found[2]), int(found[3]))
    return is_below == (found[1] == "<")


def installed(name: str) -> str:
    """The version of an installed package, or ""."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def is_older(version: str, least: str) -> bool:
    """Whether a version is below another one; 2.10 is not below 2.9."""
    numbers = [
        [int(number) for number in re.findall(r"\d+", text.split("+")[0])[:3]]
        for text in (version, least)
    ]
    return numbers[0] < numbers[1]
