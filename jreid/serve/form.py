"""Forms whose files stay in memory: what people send is never written to a disk."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

MOST_FILES, MOST_FIELDS, FIELD_BYTES = 64, 256, 4096


class _InMemory(MultiPartParser):
    spool_max_size = 0  # no file of the system is ever begun


class FormRequest(Request):
    """A request whose form is read within bounds; its size the gate has checked."""

    async def form(self, **_: Any) -> FormData:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The form, once.

        Raises HTTPException: 415 where it is no multipart form, 400 where it is a
        broken one or has too many parts.
        """
        if self._form is None:
            kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind != "multipart/form-data":
                raise HTTPException(415, "send multipart/form-data")
            parser = _InMemory(
                self.headers,
                self.stream(),
                max_files=MOST_FILES,
                max_fields=MOST_FIELDS,
                max_part_size=FIELD_BYTES,
            )
            try:
                self._form = await parser.parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from error
            except (ValueError, KeyError) as error:
                raise HTTPException(400, "a broken form") from error
        return self._form


class FormRoute(APIRoute):
    """A route of which the requests are `FormRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, for the form's request."""
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            return await handle(FormRequest(request.scope, request.receive))

        return handle_form
