"""An application behind a real server on a free port, in a thread of the test."""

import asyncio
import contextlib
import threading
import time

from jreid.serve.server import listening_socket, make_server


@contextlib.contextmanager
def served(app):
    """Yields `127.0.0.1:PORT`; the server has ended when the block has."""
    with listening_socket("127.0.0.1", 0) as listening:
        server = make_server(app)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listening])), daemon=True
        )
        thread.start()
        end = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive() and time.monotonic() < end
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
