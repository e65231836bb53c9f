"""What the REST interface answers with, as its OpenAPI document shows it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Modality = Literal["visible", "infrared"]


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str


class Health(BaseModel):
    """The server answers."""

    status: Literal["ok"] = "ok"


class Bounds(BaseModel):
    """What a request may hold."""

    files: int
    file_bytes: int
    request_bytes: int
    pixels: int


class Info(BaseModel):
    """The gallery and what can be asked of it."""

    images: int
    dimensions: Annotated[int, Field(description="of an embedding")]
    model: Annotated[str, Field(description="fingerprint of config, step and weights")]
    explains: bool
    unexplained: Annotated[str, Field(description="why matches are not; else empty")]
    cameras: list[str]
    times: Annotated[
        Literal["none", "dates", "numbers"], Field(description="that images have")
    ]
    limits: Bounds


class Entry(BaseModel):
    """An image of the gallery."""

    key: str
    path: Annotated[str, Field(description="relative to the indexed folder")]
    modality: Modality
    camera: str | None
    time: Annotated[str | None, Field(description="ISO 8601 or a number")]
    track: str | None
    identity: str | None


class Page(BaseModel):
    """Some of the gallery's images, in the order of their paths."""

    images: list[Entry]
    total: int


class Hit(Entry):
    """An image of the gallery that was found."""

    distance: Annotated[
        float, Field(description="squared Euclidean of unit vectors, 0 to 4")
    ]
    probability: Annotated[
        float | None, Field(description="of the same person; null: not calibrated")
    ]


class Recognised(BaseModel):
    """A query's picture as the server sees it."""

    modality: Modality
    kind: Annotated[str, Field(description="visible, near-infrared or thermal")]
    warnings: list[str]
    numbers: dict[str, float]
    picture: Annotated[
        str | None,
        Field(
            description="JPEG in base64 of 16-bit grey as the run reads it; else null"
        ),
    ]


class Answer(BaseModel):
    """The ranking, best first."""

    hits: list[Hit]
    query: Annotated[list[Recognised], Field(description="one per picture sent")]
    identity: Annotated[
        str | None, Field(description="of the query, where the gallery knows it")
    ]
    milliseconds: float


class Explanation(BaseModel):
    """Which regions of two pictures their similarity comes from."""

    similarity: Annotated[float, Field(description="cosine")]
    kind: Annotated[str, Field(description="exact, or gradient-weighted")]
    statement: Annotated[str, Field(description="what the maps say, in words")]
    query_map: list[list[float]]
    gallery_map: list[list[float]]
    picture: Annotated[str, Field(description="PNG in base64, both side by side")]
