"""httpx for tests of servers: it waits as long as a busy machine may need."""

import functools

import httpx

_SECONDS = 60  # httpx gives up after 5, and nothing here is about speed

Client = functools.partial(httpx.Client, timeout=_SECONDS)
get = functools.partial(httpx.get, timeout=_SECONDS)
options = functools.partial(httpx.options, timeout=_SECONDS)
post = functools.partial(httpx.post, timeout=_SECONDS)
