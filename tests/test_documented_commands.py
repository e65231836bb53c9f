"""The README's commands are found, and .ci/run begins with the first of them."""

import pathlib
import re
import subprocess

from tools.documented_commands import commands_of, documents
from tools.run_documented_commands import LEFT_OUT, SHORTENED

ROOT = pathlib.Path(__file__).parent.parent
TEXT = """# Title

Prose with `make demo ARGS="--x=1"`, and `runs/demo`, and `make` alone.

## First

    make demo     # trains
    make test

    demo, test images: python and make are words here
    runs/demo/results.json

## Second

    python -m jreid.train --config a.py \\
        --config.x=1 --y   # last
    .venv/bin/pip install numpy

```python
make = python(3)
```

```sh
ARGS=1 make parity
```
"""


def test_what_a_terminal_takes_is_found():
    found = [(c.line, c.section, c.text, c.inline) for c in commands_of(TEXT)]
    assert found == [
        (3, "Title", 'make demo ARGS="--x=1"', True),
        (7, "First", "make demo", False),
        (8, "First", "make test", False),
        (15, "Second", "python -m jreid.train --config a.py --config.x=1 --y", False),
        (17, "Second", ".venv/bin/pip install numpy", False),
        (24, "Second", "ARGS=1 make parity", False),
    ]


def test_continuous_integration_begins_with_the_two_commands():
    """Read here in another way than .ci/run does."""
    _, _, after = (ROOT / "README.md").read_text().partition("\n## Two commands\n")
    block, _, _ = after[after.index("\n    ") :].lstrip("\n").partition("\n\n")
    first_two = [line.partition("#")[0].strip() for line in block.splitlines()]
    assert len(first_two) == 2
    done = subprocess.run(
        [ROOT / ".ci" / "run", "--list"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[:2] == first_two


def test_every_make_command_is_a_rule_of_the_makefile():
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    texts = [c.text for path in documents() for c in commands_of(path.read_text())]
    named = {text.split()[1] for text in texts if text.startswith("make ")}
    assert {"demo", "test"} <= named <= set(rules)


def test_each_rule_of_running_them_still_has_a_command():
    texts = [c.text for path in documents() for c in commands_of(path.read_text())]
    for pattern in (*LEFT_OUT, *SHORTENED):
        assert any(re.search(pattern, text) for text in texts), pattern
