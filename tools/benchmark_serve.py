"""Many clients at once ask a running page's server: `python tools/benchmark_serve.py`.

    python -m jreid.serve --gallery gallery --workdir runs/demo --port 8000 &
    python tools/benchmark_serve.py --url http://127.0.0.1:8000 --images crops --pid $!

Every client sends one crop after another and waits for its ranking. Prints requests,
errors, the median and the 95th percentile of the seconds from sending to the whole
answer, and with --pid the server's resident memory at the start and the end.
"""

import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from jreid import command_line, ending

PROGRAM = "python tools/benchmark_serve.py"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    images: Path
    """A folder with crops, which are sent in turn."""
    url: str = "http://127.0.0.1:8000"
    """Where the server is."""
    clients: int = 50
    """That ask at once."""
    seconds: float = 60.0
    """For how long."""
    k: int = 20
    """Results of each query."""
    pid: int | None = None
    """The server's process, whose memory is measured."""
    token: str = ""
    """That the server asks for."""
    out: Path | None = None
    """A JSON file for the numbers."""


def measure(given: Options) -> dict[str, float | int | None]:
    """Runs the clients; returns what they saw."""
    suffixes = (".jpg", ".jpeg", ".png")
    paths = sorted(p for p in given.images.rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise ValueError(f"--images {given.images} has no .jpg or .png file")
    crops = [path.read_bytes() for path in paths[:500]]
    took: list[float] = []
    codes: Counter[int] = Counter()
    begin = resident(given.pid)
    end = time.monotonic() + given.seconds
    threads = [
        threading.Thread(
            target=_ask, args=(given, crops[n:] + crops[:n], end, took, codes)
        )
        for n in range(given.clients)
    ]
    for thread in threads:
        thread.start()
    middle = _halfway(given)
    for thread in threads:
        thread.join()
    p50, p95 = np.percentile(took, [50, 95]) if took else (float("nan"),) * 2
    return {
        "clients": given.clients,
        "seconds": given.seconds,
        "requests": sum(codes.values()),
        "errors": sum(codes.values()) - codes[200],
        "p50_seconds": round(float(p50), 3),
        "p95_seconds": round(float(p95), 3),
        "requests_per_second": round(codes[200] / given.seconds, 1),
        "resident_mb_start": begin,
        "resident_mb_middle": middle,
        "resident_mb_end": resident(given.pid),
    }


def _halfway(given: Options) -> float | None:
    time.sleep(given.seconds / 2)
    return resident(given.pid)


def _ask(
    given: Options,
    crops: list[bytes],
    end: float,
    took: list[float],
    codes: Counter[int],
) -> None:
    headers = {"X-Jreid": "1"}
    if given.token:
        headers["Authorization"] = f"Bearer {given.token}"
    with httpx.Client(base_url=given.url, headers=headers, timeout=60) as client:
        number = 0
        while time.monotonic() < end:
            files = {"files": ("crop", crops[number % len(crops)])}
            number += 1
            begun = time.monotonic()
            try:
                answer = client.post(
                    "/api/query", files=files, data={"k": str(given.k)}
                )
                codes[answer.status_code] += 1
            except httpx.HTTPError:
                codes[0] += 1
                continue
            took.append(time.monotonic() - begun)


def resident(pid: int | None) -> float | None:
    """Megabytes of a process that are in memory; None without a process."""
    if pid is None:
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise ValueError(f"--pid {pid} has no memory: has the server ended?")


def program(arguments: list[str]) -> int:
    """Exit codes: 0 without an error among the answers, else 1."""
    given = command_line.parse(Options, PROGRAM, arguments, __doc__ or "")
    found = measure(given)
    text = json.dumps(found, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")
    return int(found["errors"] != 0)


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
