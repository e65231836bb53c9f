"""Errors as answers: one line of JSON each, without what was sent."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from jreid.data.image_file import UnreadableImageError
from jreid.serve.asked import UnaskableError, UnknownKeyError
from jreid.serve.gate import RETRY_AFTER
from jreid.serve.limits import TooLargeError
from jreid.serve.messages import Refusal
from jreid.serve.pictures import GoneError
from jreid.serve.worker import BusyError

_STATUS: dict[type[Exception], int] = {
    UnknownKeyError: 404,
    GoneError: 404,
    TooLargeError: 413,
    UnreadableImageError: 415,
    UnaskableError: 422,
    NotImplementedError: 501,
    BusyError: 503,
}
_MEANING = {
    400: "A broken form",
    401: "The token is missing or wrong",
    403: "Asked for by another site's page",
    404: "No such image",
    408: "The request took too long to arrive",
    411: "No Content-Length",
    413: "Over a limit of bytes, pixels or files",
    415: "No picture, or damaged",
    421: "Another server's name in Host",
    422: "A value that is not allowed",
    501: "This network's matches cannot be explained",
    503: "Too many requests: wait for Retry-After seconds",
}


def documented(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route's OpenAPI document says of these answers."""
    return {code: {"model": Refusal, "description": _MEANING[code]} for code in codes}


def handle(app: FastAPI) -> None:
    """Lets the application answer its errors so."""
    for kind in _STATUS:
        app.add_exception_handler(kind, _expected)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def _answer(status: int, told: str, headers: Any = None) -> Response:
    return JSONResponse({"error": told}, status, headers)


async def _expected(_: Request, error: Exception) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else None
    return _answer(status, str(error), headers)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, error.detail, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [
        f"{'.'.join(str(part) for part in wrong['loc'][1:])}: {wrong['msg']}"
        for wrong in error.errors()
    ]
    return _answer(422, "; ".join(places[:5]))


async def _unexpected(_: Request, error: Exception) -> Response:
    logging.getLogger(__name__).error("a request failed: %s", type(error).__name__)
    return _answer(500, "the server failed: its log says where")
