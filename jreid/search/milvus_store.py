"""A gallery in Milvus, or in a file of Milvus Lite, which speaks the same protocol.

Vectors are rounded to float16, as in a folder, and kept in float32: Milvus Lite has no
narrower type. The index is FLAT, which compares every vector. Distances are computed
again from the vectors, so that they are a folder's.
"""

import contextlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from jreid.search.extra import pymilvus
from jreid.search.locking import only_writer
from jreid.search.milvus_connection import connect, lock_path, release, told
from jreid.search.records import EVERYWHERE, Record, TimeKind, Where, is_key, seconds
from jreid.search.store import distances, in_order, is_there
from jreid.shapes import Float, Float32

_SETTINGS = "jreid.gallery"  # the collection's property that holds them
_TEXTS = {"path": 4096, "content": 32, "modality": 16}  # and their longest, in bytes
_KNOWN = {name: 1024 for name in ("camera", "time", "track", "identity")}
_FIELDS = [*_TEXTS, *_KNOWN]
_TIME_KINDS: dict[TimeKind, str] = {
    "dates": 'time like "%T%"',
    "numbers": 'time is not null and not (time like "%T%")',
}
_DOUBTFUL = 16  # as many more are asked for as are wanted: equal ones are ordered here
_MOST = 16384  # images that one search may ask for
_AT_ONCE = 256  # vectors in one message
_ROWS = 4000  # records in one answer, on average


class MilvusStore:
    """See `store.Store`."""

    def __init__(self, place: str):
        """Opens a gallery.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the address is none, or another program's collection is there.
            OSError: Milvus does not answer.
        """
        self.place = place
        self._client, self._name, self._lock = connect(place)
        with told(place):
            if not self._client.has_collection(self._name):
                raise FileNotFoundError(
                    f"there is no gallery at {place}: python -m jreid.search index "
                    f"IMAGES --gallery {place} --workdir RUN makes one"
                )
            self._client.load_collection(self._name)
        self._dim = self.settings()["dim"]

    @classmethod
    def create(cls, place: str, settings: Mapping[str, Any]) -> "MilvusStore":
        """A new and empty gallery; settings: with the vectors' "dim".

        Raises FileExistsError if there is a collection of that name.
        """
        types = pymilvus().DataType
        client, name, lock = connect(place, create=True)
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", types.VARCHAR, is_primary=True, max_length=16)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=settings["dim"])
        for field, longest in _TEXTS.items():
            schema.add_field(field, types.VARCHAR, max_length=longest)
        for field, longest in _KNOWN.items():
            schema.add_field(field, types.VARCHAR, max_length=longest, nullable=True)
        schema.add_field("seconds", types.DOUBLE, nullable=True)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        try:
            with told(place):
                if client.has_collection(name):
                    raise is_there(place)
                client.create_collection(
                    name,
                    schema=schema,
                    index_params=index,
                    properties={_SETTINGS: json.dumps(settings)},
                    consistency_level="Strong",
                )
        finally:
            client.close()
            release(place, lock)
        return cls(place)

    def settings(self) -> dict[str, Any]:  # noqa: D102
        with told(self.place):
            found = self._client.describe_collection(self._name)
        try:
            return json.loads(found["properties"][_SETTINGS])
        except (KeyError, ValueError):
            raise ValueError(
                f"the collection at {self.place} is no gallery: give another name"
            ) from None

    def change(self, settings: Mapping[str, Any]) -> None:  # noqa: D102
        with told(self.place):
            self._client.alter_collection_properties(
                self._name, {_SETTINGS: json.dumps(settings)}
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other writers of this machine out: Milvus itself has no such lock."""
        with only_writer(lock_path(self.place, "writer"), self.place):
            yield

    def __len__(self) -> int:
        return self.count(EVERYWHERE)

    def count(self, where: Where) -> int:  # noqa: D102
        with told(self.place):
            found = self._client.query(
                self._name, filter=expression(where), output_fields=["count(*)"]
            )
        return found[0]["count(*)"]

    def time_kinds(self) -> Set[TimeKind]:
        """Which kinds of times there are; a date has a T, see `normal_time`."""
        with told(self.place):
            return {
                kind
                for kind, chosen in _TIME_KINDS.items()
                if self._client.query(
                    self._name, filter=chosen, output_fields=["key"], limit=1
                )
            }

    def all(self) -> Iterator[Record]:
        """Every record, in the order of the keys, which are spread evenly."""
        parts = -(-len(self) // _ROWS)
        bounds = [f"{2**64 * part // parts:016x}" for part in range(parts)] + ["g"]
        for first, end in itertools.pairwise(bounds):
            chosen = f'key >= "{first}" and key < "{end}"'
            with told(self.place):
                rows = self._client.query(
                    self._name, filter=chosen, output_fields=["key", *_FIELDS]
                )
            yield from map(_record, sorted(rows, key=lambda row: row["key"]))

    def page(self, offset: int, limit: int) -> list[Record]:
        """Some records, in the order of their keys: Milvus sorts by nothing else."""
        return list(itertools.islice(self.all(), offset, offset + limit))

    def record(self, key: str) -> Record:  # noqa: D102
        return _record(self._get([key], _FIELDS)[0])

    def counts(self) -> dict[str, dict[str, int]]:  # noqa: D102
        found: dict[str, dict[str, int]] = {"cameras": {}, "modalities": {}}
        for one in self.all():
            for kind, value in (
                ("cameras", one.camera or ""),
                ("modalities", one.modality),
            ):
                found[kind][value] = found[kind].get(value, 0) + 1
        return {kind: dict(sorted(own.items())) for kind, own in found.items()}

    def size(self) -> dict[str, int]:  # noqa: D102
        files = Path(self.place).rglob("*") if "://" not in self.place else ()
        total = sum(path.stat().st_size for path in files if path.is_file())
        return {Path(self.place).name: total} if total else {}

    def put(  # noqa: D102
        self, records: Sequence[Record], vectors: Float32[np.ndarray, "n d"]
    ) -> None:
        kept = vectors.astype(np.float16).astype(np.float32)
        rows = [
            _row(record, vector) for record, vector in zip(records, kept, strict=True)
        ]
        with told(self.place):
            for start in range(0, len(rows), _AT_ONCE):
                self._client.upsert(self._name, rows[start : start + _AT_ONCE])

    def describe(self, records: Sequence[Record]) -> None:  # noqa: D102
        for start in range(0, len(records), _AT_ONCE):
            part = records[start : start + _AT_ONCE]
            self.put(part, self.vectors([r.key for r in part]).astype(np.float32))

    def remove(self, keys: Collection[str]) -> int:
        """Deletes images; Milvus overwrites what is deleted when it compacts."""
        there = [row["key"] for row in self._found(list(keys), ["key"])]
        with told(self.place):
            for start in range(0, len(there), _AT_ONCE):
                part = there[start : start + _AT_ONCE]
                self._client.delete(self._name, ids=part)
            if there:
                self._client.flush(self._name)
                self._client.compact(self._name)
        return len(there)

    def nearest(  # noqa: D102
        self, vector: Float32[np.ndarray, " d"], count: int, where: Where
    ) -> list[tuple[Record, float]]:
        with told(self.place):
            (rows,) = self._client.search(
                self._name,
                data=[vector],
                filter=expression(where),
                limit=min(count + _DOUBTFUL, _MOST),
                output_fields=[*_FIELDS, "vector"],
                search_params={"metric_type": "IP"},
            )
        entities = [row["entity"] for row in rows]
        kept = np.array([one["vector"] for one in entities], np.float32)
        values = distances(vector, kept.reshape(len(entities), self._dim)).tolist()
        return in_order(list(zip(map(_record, entities), values, strict=True)), count)

    def vectors(self, keys: Sequence[str]) -> Float[np.ndarray, "n d"]:  # noqa: D102
        found = [row["vector"] for row in self._get(keys, ["vector"])]
        return np.array(found, np.float16).reshape(len(keys), self._dim)

    def close(self) -> None:  # noqa: D102
        self._client.close()
        release(self.place, self._lock)

    def _get(self, keys: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        """Fields of these images, in their order; KeyError for one that is missing."""
        found = {row["key"]: row for row in self._found(keys, ["key", *fields])}
        return [found[key] for key in keys]

    def _found(self, keys: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        rows, keys = [], [key for key in keys if is_key(key)]
        with told(self.place):
            for start in range(0, len(keys), _AT_ONCE):
                part = list(keys[start : start + _AT_ONCE])
                rows += self._client.get(self._name, ids=part, output_fields=fields)
        return rows


def expression(where: Where) -> str:
    """The filter in Milvus' language; "" for all images."""
    parts = []
    for field, allowed in (("camera", where.cameras), ("track", where.tracks)):
        if allowed:
            parts.append(f"{field} in {json.dumps(list(allowed), ensure_ascii=False)}")
    for sign, limit in ((">=", where.after), ("<", where.before)):
        if limit is not None:
            parts.append(f"seconds {sign} {seconds(limit)!r}")
    if where.modality is not None:
        parts.append(f"modality == {json.dumps(where.modality)}")
    return "" if where == EVERYWHERE else " and ".join(parts)


def _row(record: Record, vector: Float32[np.ndarray, " d"]) -> dict[str, Any]:
    known = {name: getattr(record, name) for name in _FIELDS}
    time = None if record.time is None else seconds(record.time)
    return {"key": record.key, "vector": vector, "seconds": time, **known}


def _record(row: Mapping[str, Any]) -> Record:
    known = {name: row.get(name) for name in _KNOWN}
    return Record(row["path"], row["content"], row["modality"], **known)
