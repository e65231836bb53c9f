"""Uvicorn as the page needs it: on a socket of ours, telling nothing of requests."""

import socket

import uvicorn

from jreid.serve.connection import Connection
from jreid.serve.gate import Gate

_CONNECTIONS = 512  # further ones are told to come again
_LINGER = 5  # seconds for requests in hand when the server ends


def listening_socket(address: str, port: int) -> socket.socket:
    """A socket that listens at the address; port 0 is any free one.

    Raises ValueError where the address or port cannot be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(_CONNECTIONS)  # who comes before the server works waits for it
    except OSError as error:
        made.close()
        raise ValueError(
            f"cannot listen at {address}, port {port} ({error.strerror}): give another "
            "--port, or 0 for any free one"
        ) from error
    return made


def make_server(app: Gate) -> uvicorn.Server:
    """A server that writes no line about a request and trusts no proxy's headers."""

    class Limited(Connection):
        seconds = app.limits.seconds

    config = uvicorn.Config(
        app,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=Limited,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_LINGER,
    )
    return uvicorn.Server(config)
