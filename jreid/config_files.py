"""From `--config NAME:VARIANT` to a config: the shipped files, and a user's own."""

import difflib
import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from jreid import configs
from jreid.parts import settled
from jreid.user_files import load_file

if TYPE_CHECKING:
    from jreid.config import Config


def load(spec: str) -> "Config":
    """The config of NAME[:VARIANT], a shipped file, or of PATH.py[:VARIANT].

    Raises:
        ValueError: there is no such file or variant, or the file has a mistake.
    """
    from jreid.config import Config  # imports NumPy

    name, variant = _split(spec)
    is_own = name.endswith(".py")
    path = Path(name).expanduser() if is_own else configs.FOLDER / f"{name}.py"
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, shipped()) or shipped()
        raise ValueError(
            f"there is no config {name!r}; shipped are {', '.join(near)}, and a path "
            "ends in .py"
        )
    try:
        module = _module(path)
        if not hasattr(module, "get_config"):
            raise ValueError(f"{path} has no function get_config(variant)")
        config = module.get_config(*([variant] if variant else []))
    except (ValueError, OSError):
        raise
    except (AttributeError, TypeError, NameError, ImportError, SyntaxError) as error:
        raise ValueError(f"{path}: {error}") from error  # a slip: its last line says it
    except Exception as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise ValueError(f"{path}: get_config returns {config!r}, which is no Config")
    return settled(config)


def shipped() -> list[str]:
    """Names of the shipped files."""
    return sorted(path.stem for path in configs.FOLDER.glob("[!_]*.py"))


def _split(spec: str) -> tuple[str, str]:
    """Name and variant; a path may have colons."""
    if ".py" not in spec:
        name, _, variant = spec.partition(":")
        return name, variant
    path, _, variant = spec.rpartition(".py")
    return f"{path}.py", variant.removeprefix(":")


def _module(path: Path) -> ModuleType:
    if path.resolve().parent == configs.FOLDER.resolve():
        return importlib.import_module(f"jreid.configs.{path.stem}")
    return load_file(path)
