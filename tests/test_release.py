"""What must agree before a release is made."""

import pathlib
import subprocess
import tomllib

import pytest

from tools.release import disagreements

ROOT = pathlib.Path(__file__).parent.parent
CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2027-01-31

### Added

- A thing.
"""
CITATION = 'cff-version: 1.2.0\nversion: 1.2.0\ndate-released: "2027-01-31"\n'


def test_what_agrees_can_be_released():
    assert disagreements("1.2.0", CHANGELOG, CITATION) == []


@pytest.mark.parametrize(
    ("version", "old", "new", "messages"),
    [
        ("1.3.0", "", "", ["no entry '## [1.3.0] - ", "version is 1.2.0; it must be"]),
        ("1.2.0", " - 2027-01-31", "", ["no entry '## [1.2.0] - YYYY-MM-DD'"]),
        ("1.2.0", "[Unreleased]", "[Unreleased]\n\n- New", ["under [Unreleased]"]),
        ("1.2.0", "d: ", "d: 2", ["date-released is 22027-01-31; it must be 2027"]),
        ("1.2.0", "\nversion", "\n# version", ["version is missing"]),
    ],
)
def test_each_disagreement_is_named(version, old, new, messages):
    changelog, citation = CHANGELOG, CITATION.replace('"', "")
    if old in changelog:
        changelog = changelog.replace(old, new, 1) if old else changelog
    else:
        citation = citation.replace(old, new, 1)
    found = disagreements(version, changelog, citation)
    assert len(found) == len(messages)
    for line, message in zip(found, messages, strict=True):
        assert message in line


def test_this_commit_agrees_but_for_what_is_unreleased():
    from jreid import __version__

    texts = [(ROOT / name).read_text() for name in ("CHANGELOG.md", "CITATION.cff")]
    found = disagreements(__version__, *texts)
    assert [line for line in found if "under [Unreleased]" not in line] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")
def test_the_sdist_has_all_that_is_in_the_clone():
    asked = ["git", "ls-files", "-z"]
    ran = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = {f"/{name.partition('/')[0]}" for name in ran.stdout.split("\0") if name}
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    included = set(built["build"]["targets"]["sdist"]["include"])
    # hatchling adds these
    always = {
        "/.gitignore",
        "/LICENSE",
        "/README.md",
        "/pyproject.toml",
    }
    assert tracked - always == included


def test_continuous_integration_builds_and_uses_the_wheel():
    job = (ROOT / ".github" / "workflows" / "ci.yml").read_text().partition("release:")
    assert "\n      - run: make release ARGS=--unreleased" in job[2]
