"""The documents' commands are found and parsed; .ci/run begins with the first two."""

import pathlib
import re
import shlex
import subprocess
import textwrap

import pytest

from jreid import embed, explain, prepare, train
from jreid.command_line import parse
from jreid.doctor import __main__ as doctor
from jreid.ending import exit_code
from jreid.evaluate_options import Options as EvaluateOptions
from jreid.evaluate_options import way_of
from jreid.export.__main__ import Options as ExportOptions
from jreid.report.__main__ import Options as ReportOptions
from jreid.search.__main__ import parse as parse_search
from jreid.serve.__main__ import Options as ServeOptions
from tools import run_documented_commands
from tools.documented_commands import commands_of, documents
from tools.run_documented_commands import (
    ENVIRONMENT,
    LEFT_OUT,
    SHORTENED,
    activation,
    left_out,
    run_documents,
    shortened,
)

ROOT = pathlib.Path(__file__).parent.parent
PARSERS = {
    "train": train.parse,
    "evaluate": lambda words: way_of(parse(EvaluateOptions, "", words, "")),
    "embed": lambda words: parse(embed.Options, "", words, ""),
    "search": parse_search,
    "doctor": doctor.parse,
    "report": lambda words: parse(ReportOptions, "", words, ""),
    "explain": lambda words: parse(explain.Options, "", words, ""),
    "export": lambda words: parse(ExportOptions, "", words, ""),
    "serve": lambda words: parse(ServeOptions, "", words, ""),
    "prepare": lambda words: parse(prepare.Options, "", words, "").check(),
}
JREID = [
    shortened(command.text)
    for path in documents()
    for command in commands_of(path.read_text(), path.name)
    if re.match(r"(python -m jreid\.|jreid )", command.text)
    and left_out(command) != "a mention"
]
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
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    texts = [c.text for path in documents() for c in commands_of(path.read_text())]
    named = {text.split()[1] for text in texts if text.startswith("make ")}
    assert {"demo", "test"} <= named <= set(rules)


@pytest.mark.parametrize("text", JREID)
def test_every_command_is_parsed(text, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    document = (ROOT / "docs" / "new-system.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```", document, re.M | re.S):
        name = block[3 : block.index(":")]  # its first line is """NAME.py: what it is
        (tmp_path / name).write_text(block)
    text = re.sub(r"^python -m jreid\.|^jreid | &$", "", text)
    name, *words = shlex.split(text)

    def program(words):
        PARSERS[name](words)

    assert exit_code(program, words) == 0, capfd.readouterr()


def test_what_is_given_to_kubernetes_is_yaml():
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "docs" / "scaling.md").read_text()
    blocks = re.findall(r"^    apiVersion:.*\n(?:    .*\n)+", text, re.M)
    jobs = [yaml.safe_load(textwrap.dedent(block)) for block in blocks]
    assert [job["kind"] for job in jobs] == ["JobSet", "Job"]
    (container,) = jobs[1]["spec"]["template"]["spec"]["containers"]
    program, *words = shlex.split(container["args"][0])[3:]
    part = words.index("--part") + 1
    assert words[part].endswith(f"/{jobs[1]['spec']['completions']}")
    words[part] = words[part].replace("$JOB_COMPLETION_INDEX", "3")
    assert program == "jreid.embed"
    assert parse(embed.Options, "", words, "").part == "3/16"


def test_what_is_given_to_slurm_is_bash_and_covers_all_parts():
    text = (ROOT / "docs" / "scaling.md").read_text()
    blocks = re.findall(r"^    #!/bin/bash\n(?:    .*\n)+", text, re.M)
    scripts = [textwrap.dedent(block) for block in blocks]
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    (last,) = re.findall(r"--array=0-(\d+)", scripts[1])
    command = scripts[1].replace("\\\n", "").partition("exec python -m jreid.embed")[2]
    words = shlex.split(command)
    part = parse(embed.Options, "", words, "").part
    assert part == f"$SLURM_ARRAY_TASK_ID/{int(last) + 1}"


def test_each_rule_of_running_them_still_has_a_command():
    texts = [c.text for path in documents() for c in commands_of(path.read_text())]
    for pattern in (*LEFT_OUT, *SHORTENED):
        assert any(re.search(pattern, text) for text in texts), pattern


def test_a_document_says_which_environment_is_active():
    assert activation() == ["make install", "source .venv/bin/activate"]
    assert "## Training" in (ROOT / "README.md").read_text().splitlines()
    for path in documents()[1:]:
        text = path.read_text()
        typed = [c for c in commands_of(text) if re.match("python |pip ", c.text)]
        if any(left_out(command) != "a mention" for command in typed):
            assert ENVIRONMENT in text, path.name


def test_a_terminal_knows_what_was_typed_there(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "activate.sh").write_text("export ACTIVE=yes")
    monkeypatch.setattr(run_documented_commands, "fresh_clone", lambda _: clone)
    ask = 'python3 -c \'import os; exit(os.environ.get("ACTIVE", "") != "yes")\''
    texts = {"README.md": f"    source activate.sh\n    {ask}\n"}
    texts["linked.md"] = f"[environment](../{ENVIRONMENT})\n\n    {ask}\n"
    texts["plain.md"] = f"\n    {ask}\n    python --version\n"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    codes = [
        line.split(": ")[1].split(",")[0]
        for line in run_documents([tmp_path / name for name in texts], tmp_path)
    ]
    assert codes == ["passed"] * 3 + ["FAILED (1)", "FAILED (127)"]
