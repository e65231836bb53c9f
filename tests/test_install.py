"""Installation: uv is told what pip is configured with; pip follows where it fails."""

import shutil
import subprocess
import sys

import pytest

from tools import install

ALWAYS = ["--index-strategy", "unsafe-best-match"]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ("", []),
        (
            "global.index-url='https://a/simple'\n",
            ["--default-index", "https://a/simple"],
        ),
        (
            ":env:.index-url='https://c'\nglobal.index-url='https://a'\n"
            "install.index-url='https://b'\n",
            ["--default-index", "https://c"],
        ),
        (
            "global.extra-index-url='file:///a/simple\\nfile:///b/simple'\n"
            "global.find-links='/wheels'\nglobal.constraint='/c.txt'\n"
            "global.trusted-host='here'\nglobal.timeout='60'\n",
            [
                *("--extra-index-url", "file:///a/simple"),
                *("--extra-index-url", "file:///b/simple"),
                *("--find-links", "/wheels"),
                *("--constraints", "/c.txt"),
                *("--allow-insecure-host", "here"),
            ],
        ),
        ("install.no-index='true'\nglobal.index-url='https://a'\n", ["--no-index"]),
        ("install.no-index='false'\n", []),
    ],
)
def test_pips_settings_are_uvs(settings, options):
    assert install.uv_options(settings) == ALWAYS + options


@pytest.fixture
def run(monkeypatch):
    """Commands that were run, of which those that contain a word of `fail` fail."""
    commands, fail = [], []

    def stand_in(command, **_):
        commands.append(command)
        failed = any(word in command for word in fail)
        return subprocess.CompletedProcess(command, int(failed), "", "")

    monkeypatch.setattr(subprocess, "run", stand_in)
    return commands, fail


def test_uv_installs_into_this_environment(run):
    commands, _ = run
    assert install.install("-e", ".[test]") == 0
    assert [command[:4] for command in commands] == [
        [*install.PIP, "install"],  # uv itself
        [*install.PIP, "config"],
        [sys.executable, "-m", "uv", "pip"],
    ]
    last = commands[-1]
    assert last[-2:] == ["-e", ".[test]"]
    assert last[last.index("--python") + 1] == sys.executable
    assert last[last.index("-c") + 1] == str(install.CONSTRAINTS)


@pytest.mark.parametrize(
    ("failing", "said"),
    [("uv", ""), ("--python", "uv could not install it; pip tries\n")],
)
def test_pip_installs_where_uv_cannot(run, failing, said, capsys):
    commands, fail = run
    fail.append(failing)
    assert install.install("numpy") == 0
    assert commands[-1][:4] == [*install.PIP, "install"]
    assert commands[-1][-1] == "numpy"
    assert capsys.readouterr().err == said


def test_the_exit_code_says_that_nothing_could(run):
    run[1].append("install")
    assert install.install("numpy") == 1


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_make_refuses_pythons_that_tensorflow_is_not_built_for(tmp_path, version):
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nexec {sys.executable} "
        f'-c "import sys; sys.version_info = (*{version}, 0); $2"\n'
    )
    python.chmod(0o755)
    command = ["make", "install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    root = install.CONSTRAINTS.parent
    ran = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert ran.returncode and "make PYTHON=python3.13" in ran.stdout
    assert not (tmp_path / "venv").exists()
