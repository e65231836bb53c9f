"""The records of a gallery's folder in SQLite, whose transactions say what is there.

An image is in the gallery when its row here is committed. `row` is the place of its
vector in the vectors' file. `holes` are places whose image was removed, or has another
place, and whose vector is still to be overwritten; a change that was killed is
completed from them.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from jreid.data.datasets import MODALITY_NAMES
from jreid.search.records import Record, TimeKind, Where, is_key, seconds

NAME = "images.sqlite"
PATIENCE = 60  # seconds that a reader may keep a writer waiting, and the reverse

_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
    row INTEGER PRIMARY KEY, key INTEGER UNIQUE NOT NULL, path TEXT NOT NULL,
    content BLOB NOT NULL, modality INTEGER NOT NULL, camera TEXT, time TEXT,
    seconds REAL, track TEXT, identity TEXT);
CREATE TABLE holes (row INTEGER PRIMARY KEY);
INSERT INTO settings VALUES ('generation', '0');
"""
_COLUMNS = "path, content, modality, camera, time, track, identity"
_TIME_KINDS: dict[TimeKind, str] = {"dates": "GLOB", "numbers": "NOT GLOB"}
_KEYS_AT_ONCE = 500  # SQLite bounds the number of parameters


class Catalogue:
    """An open catalogue, for several threads."""

    def __init__(self, folder: Path, *, create: bool = False):
        self._lock = threading.RLock()
        mode = "rwc" if create else "rw"
        self._db = sqlite3.connect(
            f"{(folder / NAME).absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        # What is deleted is overwritten, and no journal keeps it.
        self._db.execute("PRAGMA secure_delete = ON")
        if create:
            self._db.executescript(_TABLES)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What is read in the block is of one state; a writer waits for its end."""
        with self._lock, self._transaction("BEGIN"):
            yield

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """What is changed in the block is changed as a whole, or not at all."""
        with self._lock, self._transaction("BEGIN IMMEDIATE"):
            yield
            self._db.execute(
                "UPDATE settings SET value = value + 1 WHERE name = 'generation'"
            )

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        if self._db.in_transaction:
            yield
            return
        self._db.execute(begin)
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def generation(self) -> int:
        """A number that grows with every change."""
        return int(self._one("SELECT value FROM settings WHERE name = 'generation'"))

    def settings(self) -> dict[str, Any]:
        """What the gallery was made with."""
        return json.loads(
            self._one("SELECT value FROM settings WHERE name = 'gallery'")
        )

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        """Replaces them."""
        with self.changing():
            self._db.execute(
                "INSERT OR REPLACE INTO settings VALUES ('gallery', ?)",
                [json.dumps(settings)],
            )

    def count(self) -> int:
        """How many images there are."""
        return self._one("SELECT count(*) FROM images")

    def end(self) -> int:
        """One more than the last row in use."""
        return self._one("SELECT coalesce(max(row) + 1, 0) FROM images")

    def holes(self) -> list[int]:
        """Places that images have left, ascending."""
        return [row for (row,) in self._all("SELECT row FROM holes ORDER BY row")]

    def rows(self, where: Where) -> list[int]:
        """The places of all images that are looked at, ascending."""
        condition, values = _condition(where)
        sql = f"SELECT row FROM images WHERE {condition} ORDER BY row"
        return [row for (row,) in self._all(sql, values)]

    def rows_from(self, first: int) -> list[int]:
        """The places in use from a row on, ascending."""
        sql = "SELECT row FROM images WHERE row >= ? ORDER BY row"
        return [row for (row,) in self._all(sql, [first])]

    def records(self, rows: Sequence[int]) -> list[Record]:
        """Of images that are there, in the order given."""
        sql = f"SELECT row, {_COLUMNS} FROM images WHERE row"
        found = {row: _record(rest) for row, *rest in self._among(sql, rows)}
        return [found[row] for row in rows]

    def places(self, keys: Collection[str]) -> dict[str, int]:
        """The rows of those of these images that are there."""
        sql = "SELECT key, row FROM images WHERE key"
        found = self._among(sql, [_number(key) for key in keys])
        return {_key(number): row for number, row in found}

    def all(self) -> Iterator[Record]:
        """Every record."""
        for row in self._all(f"SELECT {_COLUMNS} FROM images ORDER BY row"):
            yield _record(row)

    def page(self, offset: int, limit: int) -> list[Record]:
        """Some records, in the order of their paths."""
        sql = f"SELECT {_COLUMNS} FROM images ORDER BY path LIMIT ? OFFSET ?"
        return [_record(row) for row in self._all(sql, [limit, offset])]

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by camera and by modality."""
        cameras = self._all(
            "SELECT coalesce(camera, ''), count(*) FROM images GROUP BY 1 ORDER BY 1"
        )
        modalities = self._all("SELECT modality, count(*) FROM images GROUP BY 1")
        return {
            "cameras": dict(cameras),
            "modalities": {MODALITY_NAMES[number]: n for number, n in modalities},
        }

    def time_kinds(self) -> Set[TimeKind]:
        """Which kinds of times there are; a date has a T, see `normal_time`."""
        some = "SELECT 1 FROM images WHERE time"
        return {
            kind
            for kind, sign in _TIME_KINDS.items()
            if self._one(f"SELECT EXISTS ({some} {sign} '*T*')")
        }

    def write(self, placed: Mapping[int, Record], left: Collection[int] = ()) -> None:
        """Records at their rows, new or in the place of older ones.

        Rows that these images have `left` become holes.
        """
        with self.changing():
            self._db.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_values(row, record) for row, record in placed.items()],
            )
            self._db.executemany(
                "DELETE FROM holes WHERE row = ?", [[row] for row in placed]
            )
            self._db.executemany(
                "INSERT INTO holes VALUES (?)", [[row] for row in left]
            )

    def remove(self, rows: Sequence[int]) -> None:
        """Makes holes of these places."""
        with self.changing():
            every = [[row] for row in rows]
            self._db.executemany("DELETE FROM images WHERE row = ?", every)
            self._db.executemany("INSERT INTO holes VALUES (?)", every)

    def move(self, moves: Mapping[int, int]) -> None:
        """Images from rows to other rows, which were holes."""
        with self.changing():
            for source, target in moves.items():
                self._db.execute(
                    "UPDATE images SET row = ? WHERE row = ?", [target, source]
                )
                self._db.execute(
                    "UPDATE holes SET row = ? WHERE row = ?", [source, target]
                )

    def forget_holes(self) -> None:
        """They are overwritten or cut off."""
        with self.changing():
            self._db.execute("DELETE FROM holes")

    def shrink(self) -> None:
        """Gives back the space of what was deleted."""
        with self._lock:
            self._db.execute("VACUUM")

    def _one(self, sql: str) -> Any:
        with self._lock:
            return self._db.execute(sql).fetchone()[0]

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _among(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        for start in range(0, len(values), _KEYS_AT_ONCE):
            part = values[start : start + _KEYS_AT_ONCE]
            yield from self._all(f"{sql} IN ({', '.join('?' * len(part))})", part)


def _condition(where: Where) -> tuple[str, list[Any]]:
    """A condition in SQL and its values."""
    parts, values = ["1"], []
    for column, allowed in (("camera", where.cameras), ("track", where.tracks)):
        if allowed:
            parts.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values += allowed
    for sign, limit in ((">=", where.after), ("<", where.before)):
        if limit is not None:
            parts.append(f"seconds {sign} ?")
            values.append(seconds(limit))
    if where.modality is not None:
        parts.append("modality = ?")
        values.append(MODALITY_NAMES.index(where.modality))
    return " AND ".join(parts), values


def _values(row: int, record: Record) -> tuple[Any, ...]:
    return (
        row,
        _number(record.key),
        record.path,
        bytes.fromhex(record.content),
        MODALITY_NAMES.index(record.modality),
        record.camera,
        record.time,
        None if record.time is None else seconds(record.time),
        record.track,
        record.identity,
    )


def _record(columns: Sequence[Any]) -> Record:
    path, content, modality, *others = columns
    return Record(path, content.hex(), MODALITY_NAMES[modality], *others)


def _number(key: str) -> int:
    """The key as SQLite's integer of 64 bits; KeyError if it is none."""
    if not is_key(key):
        raise KeyError(key)
    return int.from_bytes(bytes.fromhex(key), signed=True)


def _key(number: int) -> str:
    return number.to_bytes(8, signed=True).hex()
