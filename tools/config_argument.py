"""The tools' `--config FILE[:VARIANT]` with `--config.field=value` overrides."""

import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from jreid.config import Config, validate

ROOT = Path(__file__).resolve().parents[1]


def read_config(
    arguments: list[str], default: str = "configs/sysu.py"
) -> tuple[Config, list[str]]:
    """The checked config, and the arguments that are not about it.

    Raises ValueError for a file, field or value that is refused. A relative path is
    looked for in the current folder, then in the repository.
    """
    sys.path.insert(0, str(ROOT))  # configs/demo.py imports configs.sysu
    given = [_absolute(argument) for argument in arguments]
    for index, argument in enumerate(given[:-1]):
        if argument == "--config":
            given[index : index + 2] = [f"--config={_found(given[index + 1])}", ""]
    mine = [argument for argument in given if argument.startswith("--config")]
    rest = [argument for argument in given if argument and argument not in mine]
    if not any(argument.startswith("--config=") for argument in mine):
        mine.insert(0, f"--config={_found(default)}")
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_file(
            "config", lock_config=False, flag_values=values, sys_argv=mine
        )
        values(["tool", *mine])
    except (flags.Error, KeyError, AttributeError, TypeError, OSError) as error:
        lines = str(error.args[0] if error.args else error).strip().splitlines()
        raise ValueError(f"{lines[-1].strip()} (fields: jreid/config.py)") from error
    config = values["config"].value
    if not isinstance(config, Config):
        raise ValueError(f"{mine[0].partition('=')[2]} is not a config file of jreid")
    validate(config)
    return config, rest


def _absolute(argument: str) -> str:
    name, equals, path = argument.partition("=")
    return f"{name}={_found(path)}" if name == "--config" and equals else argument


def _found(path: str) -> str:
    here = path.partition(":")[0]
    return path if Path(here).exists() else str(ROOT / path)
