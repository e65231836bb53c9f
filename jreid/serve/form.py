"""Forms whose files stay in memory: what people send is never written to a disk."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from jreid.serve.limits import Limits

LISTED = 200  # entries of a list that is no picture: liked, disliked, cameras
_LISTS = 3
_SPARE = 64  # fields of one value, and parts that nobody reads
_FIELD_BYTES = 4096


class _InMemory(MultiPartParser):
    spool_max_size = 0  # no file of the system is ever begun


class FormRequest(Request):
    """A request whose form is read within bounds; its size the gate has checked."""

    async def form(self, **_: Any) -> FormData:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The form, once.

        Raises HTTPException: 415 where it is no multipart form, 400 where it is a
        broken one or has too many parts: of files and keys some more than the limit,
        so that who counts the pictures says what is allowed.
        """
        if self._form is None:
            kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind != "multipart/form-data":
                raise HTTPException(415, "send multipart/form-data")
            limits: Limits = self.app.state.limits
            most = limits.files + _SPARE
            parser = _InMemory(
                self.headers,
                self.stream(),
                max_files=most,
                max_fields=most + _LISTS * LISTED,
                max_part_size=_FIELD_BYTES,
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
