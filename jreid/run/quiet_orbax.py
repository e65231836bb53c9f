"""What Orbax and TensorStore say of a failed save besides the error, turned off."""

import logging
import sys
import threading
from typing import Any


def quieten_orbax() -> None:
    """From now on what they log and print of every single array is left out."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_news)
    sys.excepthook = _print_news


def _is_news(record: logging.LogRecord) -> bool:
    """False for what Orbax's threads log of every array of a save that failed.

    Hundreds of lines would hide the one error, which is raised as well. And for its
    warning that a folder is read only, where it is only read.
    """
    if record.msg.startswith("Given directory is read only"):
        return False
    theirs = "orbax" in record.pathname or "never retrieved" in record.getMessage()
    return not (theirs and record.exc_info)


def _print_news(kind: Any, error: Any, trace: Any) -> None:
    """`sys.excepthook` without what TensorStore's threads print after a failed save.

    Each array of it is a traceback: they report to an event loop that is closed.
    """
    if threading.current_thread() is not threading.main_thread() and (
        str(error) == "Event loop is closed"
    ):
        return
    _print_exception(kind, error, trace)


_print_exception = sys.excepthook
