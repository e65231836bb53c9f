"""Searches a gallery in the browser: `python -m jreid.serve`.

    python -m jreid.serve --gallery gallery

prints the page's address. It is reached from this machine alone, unless --host names
another address; that needs a --token_file. --gallery is what `python -m jreid.search
index` has made. Ctrl-C ends it.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line, ending  # noqa: E402
from jreid.extra import library  # noqa: E402
from jreid.serve.limits import Limits  # noqa: E402

if TYPE_CHECKING:
    from jreid.search.gallery import Gallery
    from jreid.serve.hosts import Hosts

PROGRAM = "python -m jreid.serve"
TOKEN = "JREID_TOKEN"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    gallery: str
    """A folder, http://host:19530/name of Milvus, or a file NAME.db of Milvus Lite."""
    workdir: Path | None = None
    """The run's folder; by default the one that the gallery was made with."""
    model: Path | None = None
    """Instead of a run, the ONNX file that jreid.export has written of it; matches are
    not explained then."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    host: str = "127.0.0.1"
    """The address to listen at."""
    port: int = 8000
    """The port to listen at; 0: any free one."""
    names: tuple[str, ...] = ()
    """Further names of this server that browsers may use, as behind a proxy."""
    token_file: Path | None = None
    """A file with the token that clients must know; also the variable JREID_TOKEN."""
    limits: Limits = field(default_factory=Limits)
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def serve(given: Options) -> None:
    """Opens the gallery and answers until a signal comes."""
    given.limits.check()
    if not 0 <= given.port < 2**16:
        raise ValueError(f"--port is {given.port}; allowed are 0 to 65535")
    token = read_token(given.token_file)
    needed()
    from jreid.serve.hosts import listen_at

    address, hosts = listen_at(given.host, token, given.names)
    _listen(given, address, hosts, token)


def read_token(path: Path | None) -> str:
    """The token of the file, or of the environment; "" without either.

    Raises ValueError for one that is too short, and OSError.
    """
    from jreid.serve.hosts import check_token

    token = os.environ.get(TOKEN, "")
    if path is not None:
        try:
            token = path.read_text().strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"--token_file {path} is no text") from error
    if token or path is not None:
        check_token(token)
    return token


def needed() -> None:
    """Raises ValueError, with the remedy, where the extra is not installed."""
    for name in ("fastapi", "python_multipart", "uvicorn"):
        library(name, "serve")


def _listen(given: Options, address: str, hosts: "Hosts", token: str) -> None:
    from jreid.search.guard import recognise
    from jreid.serve.app import make_app
    from jreid.serve.explainer import explainer_of
    from jreid.serve.server import listening_socket, make_server

    with listening_socket(address, given.port) as listening:
        gallery = _opened(given)
        explain, unexplained = explainer_of(gallery.embedder)
        app = make_app(
            gallery,
            recognise,
            explain,
            unexplained=unexplained,
            hosts=hosts,
            token=token,
            limits=given.limits,
        )
        shown = f"[{address}]" if ":" in address else address
        where = f"http://{shown}:{listening.getsockname()[1]}/"
        print(where + ("#token=... (of the token file)" if token else ""), flush=True)
        make_server(app).run(sockets=[listening])


def _opened(given: Options) -> "Gallery":
    """The gallery, with its network compiled for single images."""
    import numpy as np

    from jreid.search.verbs.opening import open_with_network

    gallery = open_with_network(
        given.gallery, given.workdir, given.step, given.config, given.model
    )
    blank = np.zeros((1, *gallery.embedder.size, 3), np.uint8)
    for modality in ("visible", "infrared"):  # compiled before anyone waits
        gallery.embedder.network(blank, modality)
    return gallery


def program(arguments: list[str]) -> int:
    """Exit codes: 130 or so, stopped; 2, refused."""
    serve(command_line.parse(Options, PROGRAM, arguments, __doc__ or ""))
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
