"""The files of the page, which are part of the package."""

from importlib import resources

from fastapi import APIRouter, Response

_STYLE, _SCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
_FILES = {
    "": "text/html; charset=utf-8",  # index.html
    "page.css": _STYLE,
    **dict.fromkeys(
        ("page.js", "api.js", "elements.js", "results.js", "dialogs.js"), _SCRIPT
    ),
    "icon.svg": "image/svg+xml",
}


def static_routes() -> APIRouter:
    """`/` and its style, scripts and icon, each under one name and nothing else."""
    router = APIRouter(include_in_schema=False)
    folder = resources.files("jreid.serve") / "page"
    for path, media_type in _FILES.items():
        contents = (folder / (path or "index.html")).read_bytes()
        response = _response(contents, media_type)
        router.add_api_route(f"/{path}", response, methods=["GET"])
    return router


def _response(contents: bytes, media_type: str):
    async def answer() -> Response:
        return Response(contents, media_type=media_type)

    return answer
