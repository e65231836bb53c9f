"""What every request passes before the page sees it, and every answer after.

Refused are foreign `Host` headers (DNS rebinding), requests that another site's page
makes (CSRF), those without the token, and bodies over the limits.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from jreid.serve.hosts import Hosts
from jreid.serve.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

OWN_HEADER = b"x-jreid"  # a foreign page cannot send it without being asked about it
OPEN = ("/api/openapi.json", "/api/health")  # need no token, nor does the page itself
RETRY_AFTER = "2"  # seconds
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class RefusedError(Exception):
    """A request that gets no further."""

    def __init__(self, status: int, told: str, **headers: str):
        super().__init__(told)
        self.status, self.told, self.headers = status, told, headers


class Gate:
    """An ASGI application around another one.

    Args:
        app: what is reached by a request that is let through.
        hosts: the names that requests may use.
        token: what `Authorization: Bearer TOKEN` must hold; "" for none.
        limits: of bodies, one and all together.
    """

    def __init__(self, app: Application, hosts: Hosts, token: str, limits: Limits):
        self.app, self.hosts, self.limits = app, hosts, limits
        self._token = token.encode()
        self._held = 0  # bytes of the bodies of requests in hand

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request, or hands on the server's start and end."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # there are no web sockets here
            return await send({"type": "websocket.close", "code": 1008})

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"]] + [
                    (name.encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.encode() not in present
                ]
            await send(message)

        try:
            self._check(scope)
            size = self._size(scope)
        except RefusedError as refused:
            return await _refuse(refused, send_guarded)
        self._held += size
        try:
            limited = self._limited(receive, size)
            await self.app(scope, limited, send_guarded)
        finally:
            self._held -= size

    def _check(self, scope: Message) -> None:
        host = _only(scope, b"host")
        if host is None or not self.hosts.allows(host):
            raise RefusedError(421, "this server has no such name: see --names")
        site = _only(scope, b"sec-fetch-site")
        is_read = scope["method"] in ("GET", "HEAD")
        is_api = scope["path"].startswith("/api/")
        if is_api or not is_read:
            origin = _only(scope, b"origin")
            own = origin is None or origin.split("://")[-1] == host
            if not own or site in ("cross-site", "same-site"):
                raise RefusedError(403, "asked for by a page of another site")
        if not is_read and not _only(scope, OWN_HEADER):
            raise RefusedError(403, "the header X-Jreid is missing: send X-Jreid: 1")
        if self._token and is_api and scope["path"] not in OPEN:
            given = (_only(scope, b"authorization") or "").encode("latin-1")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise RefusedError(
                    401,
                    "the token is missing or wrong",
                    **{"www-authenticate": "Bearer"},
                )

    def _size(self, scope: Message) -> int:
        """Bytes of the body, as declared; 0 without one."""
        if scope["method"] in ("GET", "HEAD"):
            return 0
        declared = _only(scope, b"content-length")
        if declared is None or not (declared.isascii() and declared.isdigit()):
            raise RefusedError(411, "the header Content-Length is missing or wrong")
        size = int(declared[:19])
        if size > self.limits.request_bytes:
            raise RefusedError(
                413, f"{size} bytes; allowed are {self.limits.request_bytes}"
            )
        if self._held + size > self.limits.memory:
            raise RefusedError(
                503, "too many requests at once", **{"retry-after": RETRY_AFTER}
            )
        return size

    def _limited(self, receive: Receive, size: int) -> Receive:
        """`receive` of at most `size` bytes, in the seconds allowed for all of them."""
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        left, is_whole = size, False

        async def limited() -> Message:
            nonlocal left, is_whole
            if is_whole:  # what may still come is that the client has gone
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request took too long") from None
            left -= len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if left < 0:
                raise HTTPException(413, "more bytes than Content-Length says")
            return message

        return limited


def _only(scope: Message, name: bytes) -> str | None:
    """The value of a header; of one that is given twice nothing that could be right."""
    values = [value for key, value in scope["headers"] if key == name]
    if not values:
        return None
    return values[0].decode("latin-1") if len(values) == 1 else "\0given twice"


async def _refuse(refused: RefusedError, send: Send) -> None:
    body = json.dumps({"error": refused.told}).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **refused.headers,
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send(
        {"type": "http.response.start", "status": refused.status, "headers": pairs}
    )
    await send({"type": "http.response.body", "body": body})
