"""The REST interface and the page, as one ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    Path,
    Query,
    Response,
    Security,
)
from fastapi.security import HTTPBearer

import jreid
from jreid.serve import messages, refusals
from jreid.serve.asked import Asked, SearchedGallery
from jreid.serve.form import LISTED, FormRoute
from jreid.serve.gate import Gate
from jreid.serve.hosts import Hosts
from jreid.serve.limits import Limits
from jreid.serve.service import Service
from jreid.serve.static import static_routes
from jreid.serve.worker import Worker

_DRAWING = 2  # threads that make thumbnails and read files

Key = Annotated[str, Path(max_length=256)]
Listed = Annotated[list[str], Form(max_length=LISTED, default_factory=list)]
OwnHeader = Annotated[
    Literal["1"], Header(alias="X-Jreid", description="which no foreign page can send")
]
Modality = Annotated[
    messages.Modality | None, Form(description="of the files; none: recognised")
]
Time = Annotated[
    str | None, Form(max_length=64, description="ISO 8601, or a number as images have")
]


def make_app(
    gallery: SearchedGallery,
    recognise: Callable[..., Any],
    explain: Callable[..., Any] | None,
    *,
    unexplained: str = "",
    hosts: Hosts,
    token: str = "",
    limits: Limits | None = None,
) -> Gate:
    """The application, of which every request has passed the gate.

    Args:
        gallery: what is searched.
        recognise: tells a picture's modality, as `jreid.search.guard.recognise`.
        explain: as `jreid.explanation.explain`; None where there is none.
        unexplained: why there is none.
        hosts: the names that requests may use.
        token: what clients must know; "" for none.
        limits: of requests.
    """
    limits = limits or Limits()
    limits.check()
    service = Service(gallery, recognise, explain, limits, unexplained)
    worker = Worker(limits.waiting)

    app = _empty_app(worker)
    app.state.limits = limits  # which a form is read by
    app.include_router(static_routes())
    app.add_api_route(
        "/api/health", _health, methods=["GET"], responses=refusals.documented(403, 421)
    )
    secured = [Security(HTTPBearer(auto_error=False))] if token else []
    for routes in (_reading(service), _asking(service, worker)):
        app.include_router(routes, prefix="/api", dependencies=secured)
    return Gate(app, hosts, token, limits)


def _empty_app(worker: Worker) -> FastAPI:
    """An application without routes, which ends the worker when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    app = FastAPI(
        title="jreid",
        version=jreid.__version__,
        description="Search a gallery for the person on a picture.",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
    )
    refusals.handle(app)
    return app


async def _health() -> messages.Health:
    """For who watches the server; needs no token."""
    return messages.Health()


def _reading(service: Service) -> APIRouter:
    """What is there: of the gallery, and its images."""
    router = APIRouter(responses=refusals.documented(400, 401, 403, 421, 422, 503))
    drawing = anyio.CapacityLimiter(_DRAWING)

    async def drawn(make: Callable[..., Any], *given: Any) -> Any:
        return await anyio.to_thread.run_sync(make, *given, limiter=drawing)

    @router.get("/info")
    async def info() -> messages.Info:
        return await drawn(service.info)

    @router.get("/images")
    async def images(
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 60,
    ) -> messages.Page:
        return await drawn(service.page, offset, limit)

    gone = refusals.documented(404)
    shown = {"content": {"image/*": {}}, "description": "The image"}

    @router.get(
        "/images/{key}", response_class=Response, responses={**gone, 200: shown}
    )
    async def image(key: Key) -> Response:
        contents, media_type = await drawn(service.image, key)
        return Response(contents, media_type=media_type)

    @router.get(
        "/images/{key}/thumbnail",
        response_class=Response,
        responses={**gone, 200: shown},
    )
    async def thumbnail(key: Key) -> Response:
        contents = await drawn(service.thumbnail, key)
        return Response(contents, media_type="image/jpeg")

    return router


def _asking(service: Service, worker: Worker) -> APIRouter:
    """What the network is needed for."""
    codes = (400, 401, 403, 404, 408, 411, 413, 415, 421, 422, 501, 503)
    router = APIRouter(route_class=FormRoute, responses=refusals.documented(*codes))

    @router.post("/query")
    async def query(
        asked: Annotated[Asked, Depends(_asked)], x_jreid: OwnHeader
    ) -> messages.Answer:
        """Ranks the gallery's images by their likeness to the person."""
        return await worker.run(service.query, asked)

    @router.post("/explain")
    async def explain(
        x_jreid: OwnHeader,
        key: Annotated[str, Form(description="of the image to explain")],
        file: Annotated[bytes | None, File(description="the query's picture")] = None,
        query_key: Annotated[str | None, Form(description="or its key")] = None,
        modality: Modality = None,
    ) -> messages.Explanation:
        """Which regions of both pictures their similarity comes from."""
        return await worker.run(service.explain, file, query_key, modality, key)

    return router


def _asked(
    files: Annotated[
        list[bytes], File(default_factory=list, description="of one person")
    ],
    keys: Annotated[
        list[str], Form(default_factory=list, description="of that person's images")
    ],
    liked: Listed,
    disliked: Listed,
    cameras: Listed,
    modality: Modality = None,
    k: Annotated[int, Form(ge=1, le=200)] = 20,
    search: Annotated[messages.Modality | None, Form()] = None,
    after: Time = None,
    before: Time = None,
    by_track: Annotated[bool, Form()] = False,
    rerank: Annotated[int, Form(ge=0, le=1000)] = 0,
) -> Asked:
    where = {
        "cameras": tuple(cameras),
        "after": after,
        "before": before,
        "modality": search,
    }
    return Asked(files, keys, modality, k, where, liked, disliked, by_track, rerank)
