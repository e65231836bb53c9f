"""Clients that send half a request, or read no answer, lose their connection."""

import socket
import threading
import time

import fake_gallery
import patient_http
import pytest
from served import served

from jreid.serve.limits import Limits

SECONDS = 0.5
TOKEN = "correct-horse-battery"
PATIENCE = 4  # less than the 5 seconds that uvicorn lets a connection idle
HEAD = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
NO_TOKEN = b"POST /api/query HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Jreid: 1\r\n"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return fake_gallery.make_gallery(tmp_path_factory.mktemp("gallery"), people=1)


@pytest.fixture(scope="module")
def address(gallery):
    limits = Limits(seconds=SECONDS)
    app = fake_gallery.application(gallery, token=TOKEN, limits=limits)
    with served(app) as where:
        name, port = where.split(":")
        yield name, int(port)


@pytest.fixture
def raw(address):
    with socket.create_connection(address, timeout=60) as raw:
        yield raw


def answered(raw, status):
    answer = b""
    while not answer.endswith(b"}"):
        answer += raw.recv(2**16)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def seconds_until_closed(raw, drip):
    """How long the server bears a client that sends `drip` now and then."""
    begun = time.monotonic()
    raw.settimeout(SECONDS / 8)
    while time.monotonic() - begun < PATIENCE:
        try:
            raw.sendall(drip)
            if not raw.recv(2**16):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "sent, drip", [(b"", b""), (HEAD, b""), (HEAD, b"a: b\r\n"), (b"GET /", b"x")]
)
def test_a_head_that_does_not_end_is_given_up(raw, sent, drip):
    raw.sendall(sent)
    assert SECONDS / 2 < seconds_until_closed(raw, drip) < PATIENCE


def test_so_is_the_next_head_on_a_connection(raw):
    for _ in range(4):
        raw.sendall(HEAD + b"\r\n")
        answered(raw, 200)
        time.sleep(SECONDS / 3)  # each request has the whole time
    assert seconds_until_closed(raw, b"GET") < PATIENCE


def test_so_is_the_body_of_a_request_that_was_refused(raw):
    raw.sendall(NO_TOKEN + b"Content-Length: 100000\r\n\r\n")
    answered(raw, 401)
    assert seconds_until_closed(raw, b"x") < PATIENCE


def test_so_is_who_reads_no_answer(address):
    """Requests are piped in; their answers are far more than the kernel keeps."""
    count, ask = 2000, b"GET /page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(address, timeout=60) as raw:
        raw.sendall(ask * count)
        time.sleep(4 * SECONDS)
        read = b""
        try:
            while part := raw.recv(2**20):
                read += part
        except ConnectionError:
            pass
    assert 0 < read.count(b"HTTP/1.1 200 ") < count


def test_who_reads_slowly_gets_it_all(raw, gallery):
    """Far more than the kernel keeps, in more than twice the time."""
    key = next(iter(gallery.rows))
    contents = b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20)
    gallery.image_path(key).write_bytes(contents)
    ask = f"GET /api/images/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    raw.sendall(f"{ask}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    begun, read = time.monotonic(), bytearray()
    while part := raw.recv(2**20, socket.MSG_WAITALL):
        read += part
        time.sleep(SECONDS / 8)
    assert time.monotonic() - begun > 2 * SECONDS
    assert read.endswith(contents)


def test_who_waits_for_a_long_answer_gets_it(address, gallery):
    gallery.goes_on.clear()
    goes_on = threading.Timer(3 * SECONDS, gallery.goes_on.set)
    goes_on.start()
    crop = fake_gallery.encoded(fake_gallery.person(0, "visible", 1))
    answer = patient_http.post(
        f"http://{address[0]}:{address[1]}/api/query",
        files={"files": ("crop.png", crop)},
        headers={"X-Jreid": "1", "Authorization": f"Bearer {TOKEN}"},
    )
    goes_on.join()
    assert answer.status_code == 200
