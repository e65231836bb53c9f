"""Which packages are needed, by itself and for each extra, and the versions tested."""

import importlib.metadata
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from jreid.doctor import markers

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parent
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<bracket>[\w,-]+)\])?\s*(?:>=(?P<least>[\d.]+))?"
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A package, and the least version of it."""

    name: str
    least: str = ""


def required() -> dict[str, list[Requirement]]:
    """The requirements of each extra on this machine, those without any under ""."""
    if (file := CHECKOUT / "pyproject.toml").is_file():
        project = tomllib.loads(file.read_text())["project"]
        return {
            extra: [found for text in texts if (found := _parse(text, extra))]
            for extra, texts in {
                "": project["dependencies"],
                **project["optional-dependencies"],
            }.items()
        }
    groups: dict[str, list[Requirement]] = {}
    for text in importlib.metadata.requires("jreid") or ():
        extra = found[1] if (found := _EXTRA.search(text)) else ""
        if requirement := _parse(text, extra):
            groups.setdefault(extra, []).append(requirement)
    return groups


def _parse(text: str, extra: str) -> Requirement | None:
    """None for one of other machines, or an extra that stands for others of ours."""
    text, _, marker = text.partition(";")
    found = _REQUIREMENT.match(text)
    if found is None or found["name"] == "jreid":
        return None
    if not markers.holds(marker, markers.environment(extra)):
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
        pinned, _, marker = line.partition(";")
        name, _, version = pinned.strip().partition("==")
        if version and markers.holds(marker, markers.environment()):
            versions[name] = version
    return versions


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
