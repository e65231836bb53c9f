"""The command lines of all programs, parsed by tyro.

An option of a program is a field of a dataclass: its docstring is the option's help.
Nothing heavy is imported before a command line is known to be right.
"""

import ast
import dataclasses
import inspect
import itertools
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from jreid.config_differences import overrides
from jreid.config_files import load, shipped
from jreid.ending import REFUSED
from jreid.parts import check

if TYPE_CHECKING:  # imports NumPy, which help without a config need not wait for
    from jreid.config import Config

Options = TypeVar("Options")
FORMER = {
    **dict.fromkeys(("model", "loss", "optim"), ()),  # all of their fields
    "data": (
        *("dataset", "trial", "height", "width", "identities", "images_per_identity"),
        *("padding", "flip", "random_erasing", "random_grey", "channel_exchange"),
        *("cache", "workers", "max_unreadable"),
    ),
    "evaluation": ("feature", "flip"),
    "log": ("tensorboard",),
}
"""Fields of a config of 0.1, by the part that they were in."""


@dataclass(frozen=True)
class Given(Generic[Options]):
    """What a command line with `--config` says."""

    config: "Config"
    options: Options
    words: list[str]
    """`--config FILE` and the overrides that make the config out of that file."""


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
    _refuse_former(base, rest)
    main = _taking(base, kind())
    config, options, shown = _cli(main, f"{program} --config {spec}", rest, description)
    check(config)
    words = ["--config", spec, *overrides(base, config)]
    if shown:
        print(shlex.join(words))
        raise SystemExit(0)
    return Given(config, at_home(options), words)


def _refuse_former(base: "Config", arguments: list[str]) -> None:
    """Raises ValueError for a field that has had another name since 0.2."""
    for word in arguments:
        name = word.partition("=")[0]
        part, _, field = name.removeprefix("--config.").partition(".")
        if part == name or part not in FORMER:
            continue
        if not FORMER[part] or (
            field in FORMER[part] and not hasattr(getattr(base, part), field)
        ):
            raise ValueError(
                f"{name} is a name of jreid 0.1; what it became is in the table of "
                "0.2.0 in CHANGELOG.md, and --help lists today's fields"
            )


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
