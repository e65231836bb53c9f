"""Connections of clients that neither send nor read do not stay open."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """Uvicorn's, cut off when the server has waited `seconds` for the client.

    Uvicorn itself has a timeout between two requests only, until a byte comes; and a
    connection that it closes stays until the client has read what was written. Waited
    for are the head of the first and of every further request, with what is left of a
    body that nobody reads, and the reading of answers, of which any progress counts.
    `Gate` waits for the other bodies.
    """

    seconds: float
    _deadline: asyncio.TimerHandle | None = None
    _unread = 0  # bytes, when the wait began

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Waits for the first head."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nobody left to wait for."""
        self._stop()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Of what has come; a whole head ends the wait for it."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_if_answering()

    def on_response_complete(self) -> None:
        """Waits for the next head, which may have come already."""
        self._start()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Waits for the client to read."""
        super().pause_writing()
        self._start()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._stop_if_answering()

    def _start(self) -> None:
        self._stop()
        self._unread = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _stop_if_answering(self) -> None:
        waits = self.flow.write_paused or self.transport.is_closing()
        if self.cycle and not (self.cycle.response_complete or waits):
            self._stop()

    def _give_up(self) -> None:
        if self.transport.get_write_buffer_size() < self._unread:
            self._start()
        else:
            self.transport.abort()
