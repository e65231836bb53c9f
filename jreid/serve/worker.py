"""One thread in which the network and the gallery are used, and who waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class BusyError(RuntimeError):
    """As many wait as are allowed to."""


class Worker:
    """Runs functions one after another, in a thread of its own.

    Args:
        places: how many may run or wait at once.
    """

    def __init__(self, places: int):
        self.places = places
        self.taken = 0
        self._thread = ThreadPoolExecutor(1, "jreid-serve")

    async def run(
        self,
        function: Callable[Given, Result],
        *args: Given.args,
        **words: Given.kwargs,
    ) -> Result:
        """The function's result; called in the event loop's thread only.

        Raises BusyError where no place is left, and whatever the function raises.
        """
        if self.taken >= self.places:
            raise BusyError(f"{self.taken} requests wait already: try again")
        self.taken += 1
        try:
            call = self._thread.submit(function, *args, **words)
            return await asyncio.wrap_future(call)
        finally:
            self.taken -= 1

    def close(self) -> None:
        """Waits for what runs; what waits is cancelled."""
        self._thread.shutdown(cancel_futures=True)
