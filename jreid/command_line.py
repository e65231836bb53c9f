"""The command lines of all programs, parsed by tyro.

An option of a program is a field of a dataclass: its docstring is the option's help.
Nothing heavy is imported before a command line is known to be right.
"""

import ast
import codecs
import contextlib
import dataclasses
import inspect
import io
import itertools
import os
import shlex
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from jreid import stopping
from jreid.config_differences import overrides
from jreid.config_files import load, shipped
from jreid.parts import check

if TYPE_CHECKING:  # imports NumPy, which help without a config need not wait for
    from jreid.config import Config

REFUSED = 2  # exit code of what was not even begun
READER_GONE = 141  # as a shell gives it, 128 + SIGPIPE
PLAIN = {"\u00b1": "+-", "\u2013": "-", "\u2212": "-", "\u00d7": "x"}

Options = TypeVar("Options")


@dataclass(frozen=True)
class Given(Generic[Options]):
    """What a command line with `--config` says."""

    config: "Config"
    options: Options
    words: list[str]
    """`--config FILE` and the overrides that make the config out of that file."""


def exit_code(program: Callable[[list[str]], int | None], arguments: list[str]) -> int:
    """The program's exit code; an error that it raises becomes one line and code 2.

    With --traceback among the arguments it is raised. A signal that the program does
    not answer itself becomes a line, too, and the code 128 plus its number.
    """
    print_plainly()
    try:
        with stopping.stoppable():
            code = program(arguments) or 0
            sys.stdout.flush()
            return code
    except SystemExit as stopped:  # tyro's, after help or a refusal of its own
        return stopped.code if isinstance(stopped.code, int) else REFUSED
    except KeyboardInterrupt as stopped:
        print(str(stopped) or "interrupted", file=sys.stderr)
        return getattr(stopped, "exit_code", 128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read, as `head` does, has had enough
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except (ValueError, OSError, MemoryError, ArithmeticError) as error:
        if "--traceback" in arguments:
            raise
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return REFUSED
    except ImportError as error:
        if "--traceback" in arguments or (error.name or "").startswith("jreid"):
            raise
        print(f"error: {_without_package(error)}", file=sys.stderr)
        return REFUSED
    except (RuntimeError, AssertionError) as error:
        if "--traceback" in arguments or not (told := _without_device(error)):
            raise
        print(f"error: {told}", file=sys.stderr)
        return REFUSED


def print_plainly() -> None:
    """What the terminal or pipe has no letter for is printed as what it can."""
    codecs.register_error("jreid", lambda error: _plain(error))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="jreid")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in letters), error.end


def _without_package(error: ImportError) -> str:
    """What to do where a package that jreid requires is missing or broken."""
    return (
        f"{error.name or 'a package'} is not installed ({error}): "
        "python -m jreid.doctor names the command that installs it"
    )


def _without_device(error: RuntimeError | AssertionError) -> str:
    """What to do where JAX finds no device of the platform that was asked for."""
    asked = os.environ.get("JAX_PLATFORMS", "")
    frames = traceback.extract_tb(error.__traceback__)
    if not asked or not frames or "xla_bridge" not in frames[-1].filename:
        return ""
    return (
        f"JAX_PLATFORMS is {asked!r}, and JAX can use no such device here: unset it, "
        "set it to cpu, or install JAX for that device"
    )


def help_first(parse: Callable[[list[str]], Any], arguments: list[str]) -> None:
    """Ends the program if its help is asked for, or its config is missing."""
    asked = {"-h", "--help"} & set(arguments)
    if asked or not any(word.startswith("--config") for word in arguments):
        sys.exit(exit_code(parse, arguments))


def or_end(program: Callable[[list[str]], int | None], arguments: list[str]) -> None:
    """Does what comes first; ends the program with its exit code if that refuses."""
    ended: list[int] = []

    def noting(given: list[str]) -> int:
        try:
            return program(given) or 0
        except SystemExit as stopped:  # also of code 0: all is said
            ended.append(stopped.code if isinstance(stopped.code, int) else REFUSED)
            raise

    code = exit_code(noting, arguments)
    if ended or code:
        sys.exit(code)


def parse(
    kind: type[Options], program: str, arguments: list[str], description: str
) -> Options:
    """The options of a program without a config.

    Raises SystemExit: 0 after help, 2 after an option that is refused.
    """
    return at_home(_cli(kind, program, arguments, description))


def at_home(options: Options) -> Options:
    """The options with `~` in paths replaced, which a shell leaves in --NAME=~/x."""
    for field in dataclasses.fields(options):  # pyright: ignore[reportArgumentType]
        value = getattr(options, field.name)
        if isinstance(value, Path):
            value = value.expanduser()
        elif isinstance(value, tuple) and any(isinstance(v, Path) for v in value):
            value = tuple(v.expanduser() for v in value)
        object.__setattr__(options, field.name, value)  # they may be frozen
    return options


def parse_with_config(
    kind: type[Options],
    program: str,
    arguments: list[str],
    *,
    description: str,
    default: str = "",
) -> Given[Options]:
    """The checked config and the options of a program with `--config`.

    Args:
        kind: a dataclass of options, all with defaults.
        program: as it is called, "python -m jreid.train".
        arguments: without the program's name.
        description: the first line of the help.
        default: the config where none is given; "" if one must be.

    Raises:
        SystemExit: 0 after help or the printed config, 2 after a refused option.
        ValueError: the config cannot be loaded, or is not allowed.
    """
    spec, rest = _take_config(arguments)
    spec = spec or default
    if not spec:
        asked = "--help" in rest or "-h" in rest
        print(_usage(program))
        if asked:
            print(_described(kind))
        raise SystemExit(0 if asked else REFUSED)
    base = load(spec)
    main = _taking(base, kind())
    config, options, shown = _cli(main, f"{program} --config {spec}", rest, description)
    check(config)
    words = ["--config", spec, *overrides(base, config)]
    if shown:
        print(shlex.join(words))
        raise SystemExit(0)
    return Given(config, at_home(options), words)


def _taking(base: "Config", options: Any) -> Callable[..., tuple]:
    """A function whose parameters are what the command line may say."""
    import tyro

    from jreid.config import Config

    shown = tyro.conf.arg(help="Show the words that make this config, and end.")

    def main(
        config: tyro.conf.FlagConversionOff[Config] = base,
        options: Annotated[Any, tyro.conf.arg(name="")] = options,
        print_config: Annotated[bool, shown] = False,
    ):
        return config, options, print_config

    return main


def _cli(made: Any, program: str, arguments: list[str], description: str) -> Any:
    import tyro  # also of a program that was not asked for

    return tyro.cli(
        made,
        args=arguments,
        prog=program,
        description=description,
        use_underscores=True,
    )


def _take_config(arguments: list[str]) -> tuple[str, list[str]]:
    """The file of `--config FILE` or `--config=FILE`, and the other arguments."""
    spec, rest = "", []
    words = iter(arguments)
    for word in words:
        if word == "--config":
            spec = next(words, "")
        elif word.startswith("--config="):
            spec = word.removeprefix("--config=")
        else:
            rest.append(word)
    return spec, rest


def _usage(program: str) -> str:
    return (
        f"usage: {program} --config FILE[:VARIANT] [--workdir DIR] "
        "[--config.FIELD=VALUE ...]\n"
        f"FILE is a path ending in .py or one of the shipped: {', '.join(shipped())}\n"
        "--config FILE --help lists every field of that config with its value"
    )


def _described(kind: type) -> str:
    """A line for each field of a dataclass: the text below it in the source."""
    (source,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    lines = []
    for field, text in itertools.pairwise(ast.iter_child_nodes(source)):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name, told = ast.unparse(field.target), ast.literal_eval(text.value)
            lines.append(f"  --{name:13} {told}")
    lines.append("  --print_config  Show the words that make the config, and end.")
    return "\n".join(lines)
