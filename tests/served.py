"""An application behind a real server on a free port, in a thread of the test."""

import asyncio
import contextlib
import socket
import threading

import uvicorn


@contextlib.contextmanager
def served(app):
    """Yields `127.0.0.1:PORT`; the server has ended when the block has."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, lifespan="on", log_level="warning", access_log=False, ws="none"
        )
        server = uvicorn.Server(config)
        begun = threading.Event()
        config.load()
        startup = server.startup

        async def started(sockets=None):
            await startup(sockets)
            begun.set()

        server.startup = started
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listening])), daemon=True
        )
        thread.start()
        try:
            assert begun.wait(30)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
