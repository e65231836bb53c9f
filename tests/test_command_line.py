"""Command lines: what they answer, and that printed overrides give the config again.

data/command_lines.txt fixes the interface: each line of a user with its answer and exit
code; only hashes are left out.
"""

import pathlib
import re
import shlex
import subprocess
import sys
import typing
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from jreid import __main__ as console
from jreid import command_line, configs, embed, ending, prepare, train
from jreid.config_differences import overrides
from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.evaluate_options import Options as EvaluateOptions
from jreid.parts import children, is_part, settled

TRANSCRIPT = pathlib.Path(__file__).with_name("data") / "command_lines.txt"
PROMPT = "$ python -m jreid.train "

MINE = '''
"""A user's own file, outside of the package: a loss added to a shipped system."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.configs.systems import paper
from jreid.data.sysu_mm01 import SysuMM01


@dataclass
class Repulsion:
    """Pushes centres apart."""

    weight: float = 1
    on: str = "features.v2"
    alpha: float = 0.1

    def check(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; allowed is 0 to 1")

    def __call__(self, outputs, batch, rng=None): ...


def get_config():
    config = paper.full(SysuMM01())
    config.name = "mine"
    config.objective["repulsion"] = Repulsion()
    return config
'''
BROKEN = """
from jreid.configs.systems import paper
from jreid.data.sysu_mm01 import SysuMM01


def get_config():
    config = paper.full(SysuMM01())
    config.objective["hc_tri"].magrin = 0.7
    return config
"""


@dataclass
class Options:
    """What is not part of the config."""

    workdir: pathlib.Path | None = None
    """The run's folder; runs/NAME where it is not given."""
    traceback: bool = False
    """Show where an error was raised."""


def program(arguments):
    """Stands for jreid.train: says what it would train."""
    given = command_line.parse_with_config(
        Options, "python -m jreid.train", arguments, description="Trains one system."
    )
    folder = given.options.workdir or pathlib.Path("runs") / given.config.name
    print(f"would train {folder}, config {config_hash(given.config)}")


def answers():
    """Every command line of the transcript, with what it is answered."""
    blocks = TRANSCRIPT.read_text().split(PROMPT)[1:]
    return [tuple(block.split("\n", 1)) for block in blocks]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "configs").symlink_to(configs.FOLDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.mark.parametrize(("line", "answer"), answers())
def test_a_command_line_is_answered_as_it_was(folder, capfd, line, answer):
    code = ending.exit_code(program, shlex.split(line))
    said = capfd.readouterr()
    text = re.sub(r"config [0-9a-f]{12}$", "config HASH", said.out + said.err)
    text = text.replace(" and no __dict__ for setting new attributes", "")  # of 3.13
    assert f"{text}[exit code {code}]\n" == answer
    assert not (code and text.startswith("would"))


def test_help_with_a_config_shows_fields_with_docstrings_and_values(folder, capsys):
    assert ending.exit_code(program, ["--config=demo:base", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--config.views.visible.pipe.0.pixels INT" in text
    assert "one of 50 wants 0.01 to 0.03 (docs/ablation). (default: 0.03)" in text
    assert "--config.resize {bilinear,bicubic,lanczos}" in text
    assert "The run's folder; runs/NAME where it is not given. (default: None)" in text


def parsed(arguments, **options):
    return command_line.parse_with_config(
        Options, "tool", arguments, description="A tool.", **options
    )


def test_a_config_by_default(folder):
    given = parsed(["--config.seed=3"], default="demo")
    assert (given.config.name, given.config.seed) == ("demo", 3)
    assert given.words == ["--config", "demo", "--config.seed=3"]


def test_of_an_option_given_twice_the_later_counts(folder):
    arguments = ["--config=sysu", "--config.seed=1", "--workdir=a", "--config.seed=2"]
    given = parsed([*arguments, "--workdir", "b", "--config", "demo"])
    assert (given.config.name, given.config.seed) == ("demo", 2)
    assert given.options.workdir == pathlib.Path("b")


def test_a_traceback_is_shown_when_it_is_asked_for(folder):
    arguments = ["--config=sysu", "--config.optimizer.lr=-1"]
    assert ending.exit_code(program, arguments) == 2
    with pytest.raises(ValueError, match="config.optimizer.lr is -1"):
        ending.exit_code(program, [*arguments, "--traceback"])


def test_a_package_that_is_missing_is_one_line(capsys):
    def needing(arguments):
        raise ModuleNotFoundError("No module named 'flax'", name="flax")

    assert ending.exit_code(needing, []) == 2
    assert capsys.readouterr().err == (
        "error: flax is not installed (No module named 'flax'): "
        "python -m jreid.doctor names the command that installs it\n"
    )
    with pytest.raises(ModuleNotFoundError):
        ending.exit_code(needing, ["--traceback"])


def test_an_exit_code_of_the_program_s_own():
    assert ending.exit_code(lambda _: 130, []) == 130
    assert ending.exit_code(lambda _: None, []) == 0


# Overrides


def leaves(value, path, hint=typing.Any):
    """Every field that the command line sets, with its value and annotation."""
    if is_part(value):
        hints = typing.get_type_hints(type(value))
        for name, child in children(value):
            yield from leaves(child, f"{path}.{name}", hints[name])
    elif isinstance(value, dict) or (
        isinstance(value, tuple) and any(map(is_part, value))
    ):
        for name, child in children(value):
            yield from leaves(child, f"{path}.{name}")
    elif value is not None and value != ():
        yield path, value, hint


NUMBERS = {
    int: st.integers(-(10**6), 10**6),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
IN_TUPLES = WORDS.filter(lambda word: not word.startswith("-"))


def another(value, hint):
    """Values that may stand for this one, allowed or not."""
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is Ellipsis:
        return st.lists(another(value[0], None), max_size=3).map(tuple)
    if isinstance(value, tuple):
        return st.tuples(*(another(child, None) for child in value))
    if type(value) in NUMBERS:
        return NUMBERS[type(value)]
    return WORDS if hint is not None else IN_TUPLES


def changed(value, path, changes):
    """The value with other leaves."""
    if path in changes:
        return changes[path]
    pairs = {name: changed(v, f"{path}.{name}", changes) for name, v in children(value)}
    if is_part(value):
        return type(value)(**pairs)
    if isinstance(value, dict):
        return pairs
    return tuple(pairs.values()) if isinstance(value, tuple) else value


BASES = {spec: load(spec) for spec in ("sysu", "demo:ours2")}
FIELDS = {spec: list(leaves(config, "config")) for spec, config in BASES.items()}


@st.composite
def specs_and_changes(draw):
    spec = draw(st.sampled_from(sorted(BASES)))
    chosen = draw(st.lists(st.sampled_from(FIELDS[spec]), max_size=8))
    return spec, {path: draw(another(value, hint)) for path, value, hint in chosen}


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs_and_changes())
def test_overrides_make_the_same_config_of_the_same_file(case):
    spec, changes = case
    config = settled(changed(BASES[spec], "config", changes))
    words = overrides(load(spec), config)
    assert (words == []) == (config == BASES[spec])
    with pytest.MonkeyPatch.context() as patch:
        # Whatever can be said is read as it was said, also where it is not allowed.
        patch.setattr(command_line, "check", lambda config: None)
        again = parsed(["--config", spec, *words])
    assert repr(again.config) == repr(config)
    assert config_hash(again.config) == config_hash(config)
    assert again.words == ["--config", spec, *words]


# Programs without a config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "regdb"], "--root is needed"),
        (["--dataset", "synvi", "--root", "x"], "--root is needed, except"),
        (["--dataset", "llcm", "--root", "x", "--split", "2"], "--split is for regdb"),
        (["--dataset=regdb", "--root=x", "--split=11"], "allowed is 1 to 10"),
        (["--dataset", "market"], "invalid choice 'market'"),
        ([], "--dataset"),
    ],
)
def test_prepare_refuses_clearly(tmp_path, capsys, arguments, message):
    assert prepare.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_console_command_names_its_programs(capsys):
    assert console.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("train", "evaluate", "embed", "prepare"):
        assert f"\n  {name} " in text
    assert console.main([]) == 2
    capsys.readouterr()
    assert console.main(["trian"]) == 2
    assert "no program 'trian'; allowed are train, eval" in capsys.readouterr().err


def test_the_console_command_passes_on_arguments_and_exit_code():
    command = [sys.executable, "-m", "jreid", "prepare", "--dataset=llcm", "--out=x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --root is needed, except for synvi, which has none\n"


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"]])
def test_help_imports_no_numpy(arguments):
    code = (
        "import sys; from jreid.__main__ import main\n"
        f"code = main({arguments})\n"
        "print(code, *sorted({'numpy', 'jax', 'tensorflow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1] == "0"


def test_the_home_folder_is_put_into_paths_that_a_shell_leaves(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    given = train.parse(["--config=demo", "--workdir=~/runs/a"])
    assert given.options.workdir == pathlib.Path("/home/ada/runs/a")
    words = ("--workdir=~/run", "--images=~/in", "--out=~/out/~")
    given = command_line.parse(embed.Options, "", list(words), "")
    assert [str(p) for p in (given.workdir, given.images, given.out)] == [
        *("/home/ada/run", "/home/ada/in", "/home/ada/out/~")
    ]
    given = command_line.parse(EvaluateOptions, "", ["--features", "~/f.npz"], "")
    assert given.features == (pathlib.Path("/home/ada/f.npz"),)
