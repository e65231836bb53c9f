"""Installs packages into this Python's environment: with uv, or pip where uv cannot.

    python -m tools.install -e '.[test]'     # arguments of pip install

Versions are those of constraints.txt. uv needs seconds where pip needs minutes; it is
told what pip is configured with: package indexes, certificates, constraints.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
PIP = (sys.executable, "-m", "pip")
UV = (sys.executable, "-m", "uv", "pip")
LISTS = {  # pip's setting -> uv's option, once for each value
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "constraint": "--constraints",
    "trusted-host": "--allow-insecure-host",
}


def uv_options(settings: str) -> list[str]:
    """uv's options for what `pip config list` printed.

    pip takes the best version of all indexes, uv by default that of the first one.
    """
    found = {}
    for place in ("global", "install", ":env:"):  # later ones win
        for line in settings.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith(f"{place}."):
                found[name.removeprefix(f"{place}.")] = ast.literal_eval(value)
    options = ["--index-strategy", "unsafe-best-match"]
    if found.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options += ["--no-index"]
    elif "index-url" in found:
        options += ["--default-index", found["index-url"]]
    for name, option in LISTS.items():
        for value in found.get(name, "").split():
            options += [option, value]
    return options


def install(*arguments: str) -> int:
    """Returns the exit code of what installed: 0 where all is there."""
    return 0 if _by_uv(*arguments) else _by_pip(*arguments)


def _by_uv(*arguments: str) -> bool:
    if _by_pip("uv", stderr=subprocess.DEVNULL):
        return False
    asked = [*PIP, "config", "list"]
    settings = subprocess.run(asked, capture_output=True, text=True).stdout
    command = [*UV, "install", "-q", "-c", str(CONSTRAINTS), *uv_options(settings)]
    certificates = (
        {"SSL_CERT_FILE": file} if (file := os.environ.get("PIP_CERT")) else {}
    )
    into = ["--python", sys.executable]
    environment = {**certificates, **os.environ}
    if not subprocess.run([*command, *into, *arguments], env=environment).returncode:
        return True
    print("uv could not install it; pip tries", file=sys.stderr)
    return False


def _by_pip(*arguments: str, stderr: int | None = None) -> int:
    # Of some 20,000 modules few are ever imported; those are compiled then.
    command = [*PIP, "install", "-q", "--no-compile", "-c", str(CONSTRAINTS)]
    return subprocess.run([*command, *arguments], stderr=stderr).returncode


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--help"]):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] else 2)
    sys.exit(install(*sys.argv[1:]))
