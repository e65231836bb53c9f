"""How a program ends: an error or a signal as one line, and an exit code."""

import codecs
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from jreid import stopping
from jreid.streams import drop_unread, say

REFUSED = 2  # exit code of what was not even begun
READER_GONE = 141  # as a shell gives it, 128 + SIGPIPE
PLAIN = {"\u00b1": "+-", "\u2013": "-", "\u2212": "-", "\u00d7": "x"}
_EXHAUSTED = "RESOURCE_EXHAUSTED: "  # begins XLA's message of a full device
Made = TypeVar("Made")


def exit_code(
    program: Callable[[list[str]], int | None], arguments: list[str], smaller: str = ""
) -> int:
    """The program's exit code; an error that it raises becomes one line and code 2.

    With --traceback among the arguments it is raised. A signal that the program does
    not answer itself becomes a line, too, and the code 128 plus its number.

    Args:
        program: is given the arguments.
        arguments: of its command line.
        smaller: a sentence with those of its options that save the device's memory.
    """
    print_plainly()
    code = _code(program, arguments, smaller)
    for stream in (sys.stdout, sys.stderr):
        drop_unread(stream)
    return code


def _code(
    program: Callable[[list[str]], int | None], arguments: list[str], smaller: str
) -> int:
    try:
        with stopping.stoppable():
            code = program(arguments) or 0
            if not code:  # else it says more than that nobody reads
                print(end="", flush=True)
            return code
    except SystemExit as stopped:  # tyro's, after help or a refusal of its own
        return stopped.code if isinstance(stopped.code, int) else REFUSED
    except KeyboardInterrupt as stopped:
        say(str(stopped) or "interrupted")
        return getattr(stopped, "exit_code", 128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read, as `head` does, has had enough
        return READER_GONE
    except (ValueError, OSError, MemoryError, ArithmeticError) as error:
        if "--traceback" in arguments:
            raise
        told = _without_memory(error, smaller) or error or type(error).__name__
        say(f"error: {told}")
        return REFUSED
    except ImportError as error:
        if "--traceback" in arguments or (error.name or "").startswith("jreid"):
            raise
        say(f"error: {_without_package(error)}")
        return REFUSED
    except (RuntimeError, AssertionError) as error:
        told = _without_device(error) or _without_memory(error, smaller)
        if "--traceback" in arguments or not told:
            raise
        say(f"error: {told}")
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


def _without_memory(error: BaseException, smaller: str) -> str:
    """What to do where the device has no room left; "" for other errors."""
    _, exhausted, detail = str(error).partition(_EXHAUSTED)
    if not exhausted:
        return ""
    detail = detail.partition("\n")[0].rstrip(".")
    also = (
        "End other programs that use the device, or set JAX_PLATFORMS=cpu, which takes "
        "the machine's own memory"
    )
    told = f"the memory of the device ran out ({detail})"
    return ". ".join(filter(None, (told, smaller, also)))


def help_first(parse: Callable[[list[str]], Any], arguments: list[str]) -> None:
    """Ends the program if its help is asked for, or its config is missing."""
    asked = {"-h", "--help"} & set(arguments)
    if asked or not any(word.startswith("--config") for word in arguments):
        sys.exit(exit_code(parse, arguments))


def or_end(first: Callable[[list[str]], Made], arguments: list[str]) -> Made:
    """What is made first; ends the program with its exit code where that refuses."""
    made: list[Made] = []
    code = exit_code(lambda given: made.append(first(given)), arguments)
    if not made:  # refused, or all is said
        sys.exit(code)
    return made[0]
