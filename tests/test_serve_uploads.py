"""What strangers upload: answered with one line or a ranking, never with a crash."""

import io
import struct
import tempfile
import time
import zipfile
import zlib

import fake_gallery
import numpy as np
import patient_http
import pytest
from PIL import Image
from served import served

from jreid.serve.limits import Limits

LIMITS = Limits(file_bytes=2**20, request_bytes=3 * 2**20, pixels=2**20)
CROP = fake_gallery.encoded(fake_gallery.person(2, "infrared", 3))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return fake_gallery.make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def client(gallery):
    app = fake_gallery.application(gallery, limits=LIMITS)
    with (
        served(app) as where,
        patient_http.Client(
            base_url=f"http://{where}", headers={"X-Jreid": "1"}
        ) as client,
    ):
        client.get("/api/info")  # all is imported
        yield client


def chunk(kind, contents):
    checked = kind + contents
    return (
        struct.pack(">I", len(contents))
        + checked
        + struct.pack(">I", zlib.crc32(checked))
    )


def png_of(width, height, body=b""):
    """A PNG that declares its size and holds `body` in place of the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body, 9))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def text_bomb():
    """A PNG whose compressed text unpacks to 64 MB."""
    text = b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    at = 8 + 25  # behind the header
    return CROP[:at] + chunk(b"zTXt", text) + CROP[at:]


def webp_of(width, height):
    """An extended WebP that declares a canvas of this size, and holds no frame."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_of_frames(count):
    frames = [Image.new("P", (16, 32), n % 256) for n in range(count)]
    frames[0].putpixel((0, 0), 1)
    written = io.BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:])
    return written.getvalue()


def many_scans():
    """A progressive JPEG whose last scan is there a thousand times."""
    written = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(written, "JPEG", progressive=True)
    jpeg = written.getvalue()
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * 1000 + b"\xff\xd9"


def many_scans_as_mpo():
    """The same with a segment that announces a second picture, which it has not."""
    written = io.BytesIO()
    one = Image.new("RGB", (32, 64))
    one.save(written, "MPO", save_all=True, append_images=[one])
    mpo, jpeg = written.getvalue(), many_scans()
    at = mpo.index(b"MPF\0") - 4  # marker and length
    length = int.from_bytes(mpo[at + 2 : at + 4])
    made = jpeg[:2] + mpo[at : at + 2 + length] + jpeg[2:]
    assert Image.open(io.BytesIO(made), formats=["JPEG"]).format == "MPO"
    return made


def zipped():
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("../../escape.png", CROP)
    return written.getvalue()


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
)
REFUSED = {
    "empty": (b"", 415, "empty"),
    "truncated": (CROP[: len(CROP) // 2], 415, "damaged"),
    "noise": (np.random.default_rng(0).bytes(5000), 415, "no picture"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", 415, "no picture"),
    "SVG": (SVG, 415, "no picture"),
    "HTML": (b"<!doctype html><script>alert(1)</script>", 415, "no picture"),
    "PDF": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", 415, "no picture"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no pic"),
    "zip": (zipped(), 415, "no picture"),
    "TIFF": (
        fake_gallery.encoded(np.zeros((8, 8, 3), np.uint8), "TIFF"),
        415,
        "no pic",
    ),
    "pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", 415, "no picture"),
    "giant PNG": (png_of(60000, 60000), 413, "more pixels"),
    "bomb": (png_of(4096, 4096, bytes(4096 * 4097)), 413, "4096 x 4096 pixels"),
    "over Pillow's warning": (png_of(10000, 10000), 413, "pixels"),
    "giant WebP": (webp_of(2**24, 2**8), 413, "16777216 x 256 pixels"),
    "one row": (png_of(2**20, 1, bytes(2**20 + 1)), 413, "1048576 x 1 pixels"),
    "bytes that do not end": (CROP + bytes(2**20), 413, "allowed are 1048576"),
    "a thousand scans": (many_scans(), 413, "64 scans"),
    "a thousand scans as MPO": (many_scans_as_mpo(), 413, "64 scans"),
    "text bomb": (text_bomb(), 415, "damaged"),
    "broken checksum": (CROP[:40] + b"\xff" + CROP[41:], 415, "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_upload_is_one_line(client, gallery, name):
    contents, status, told = REFUSED[name]
    asked, begun = len(gallery.asked), time.process_time()
    answer = client.post("/api/query", files={"files": ("crop.png", contents)})
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert told in answer.json()["error"]
    assert time.process_time() - begun < 2  # seconds, of client and server
    assert len(gallery.asked) == asked  # the network never saw it
    assert client.get("/api/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "name",
    [
        "crop.exe",
        "crop.png.html",
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\Windows\\win.ini",
        "crop\0.png",
        "con.png",
        "%2e%2e%2fcrop.png",
        "crop\r\nX-Evil: 1.png",
        "x" * 3000,
        "\u202egnp.exe",
    ],
)
def test_the_name_of_a_file_decides_nothing(client, name):
    answer = client.post("/api/query", files={"files": (name, CROP)}, data={"k": "3"})
    assert answer.status_code == 200, answer.text
    assert {hit["identity"] for hit in answer.json()["hits"]} == {"0002"}


def test_of_an_animation_the_first_frame_counts(client, gallery):
    answer = client.post("/api/query", files={"files": ("a.gif", gif_of_frames(300))})
    assert answer.status_code == 200, answer.text
    assert gallery.asked[-1]["images"][0].shape == (32, 16, 3)


def test_files_and_fields_are_counted(client):
    many = [("files", ("crop.png", CROP))]
    assert client.post("/api/query", files=many * 8).status_code == 200
    answer = client.post("/api/query", files=many * 9)
    assert (answer.status_code, "allowed are 8" in answer.text) == (413, True)
    assert client.post("/api/query", files=many * 80).status_code == 400
    fields = {f"field{number}": "x" for number in range(700)}
    assert client.post("/api/query", data=fields, files=many).status_code == 400
    long = {"keys": "x" * 5000}
    assert client.post("/api/query", data=long, files=many).status_code == 400


def test_as_many_are_taken_as_the_server_announces(gallery):
    """By its answers and by its OpenAPI document, all at once."""
    limits = Limits(files=100)
    app = fake_gallery.application(gallery, explain=None, limits=limits)
    key = next(iter(gallery.rows))
    one = [("files", ("crop.png", CROP))]
    with (
        served(app) as where,
        patient_http.Client(
            base_url=f"http://{where}/api", headers={"X-Jreid": "1"}
        ) as client,
    ):
        most = client.get("/info").json()["limits"]["files"]
        document = client.get("/openapi.json").json()["components"]["schemas"]
        (form,) = (kind for name, kind in document.items() if "_query_" in name)
        listed = {
            name: [key] * field["maxItems"]
            for name, field in form["properties"].items()
            if "maxItems" in field
        }
        assert set(listed) == {"liked", "disliked", "cameras"}

        def status(files, keys):
            data = {**listed, "keys": [key] * keys, "k": "3", "rerank": "0"}
            answer = client.post("/query", files=one * files, data=data)
            return answer.status_code

        assert [status(most, 0), status(1, most - 1)] == [200, 200]
        assert [status(most + 1, 0), status(1, most)] == [413, 413]


def test_a_request_over_the_limit_is_not_read(client):
    answer = client.post("/api/query", files={"files": ("crop.png", bytes(2**22))})
    assert (answer.status_code, "allowed are 3145728" in answer.text) == (413, True)


@pytest.mark.parametrize(
    "body, kind, status",
    [
        (b"{}", "application/json", 415),
        (b"files=x", "application/x-www-form-urlencoded", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=y", 400),
        (b"--y\r\n\r\nx", "multipart/form-data; boundary=y", 400),
        (b"--y--\r\n", "multipart/form-data; boundary=y; charset=\x01", 422),
        (b"--y\r\n" + b"a: b\r\n" * 9999, "multipart/form-data; boundary=y", 400),
    ],
)
def test_a_broken_form_is_one_line(client, body, kind, status):
    headers = {"Content-Type": kind}
    answer = client.post("/api/query", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]


def test_what_is_sent_is_never_written_to_a_disk(client, monkeypatch):
    """FastAPI's own forms spill files of more than a megabyte."""

    def rollover(_):
        raise AssertionError("a file was begun")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    files = [("files", ("crop.png", CROP)), ("other", ("large", bytes(2**21)))]
    assert client.post("/api/query", files=files).status_code == 200


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%00",
        "/etc/passwd",
        "x" * 250,
        "0002_infrared_3.png",  # a path is no key, also a right one
    ],
)
def test_no_path_is_taken_from_a_client(client, key):
    for path in (f"/api/images/{key}", f"/api/images/{key}/thumbnail"):
        answer = client.get(path)
        assert answer.status_code == 404, answer.text
    for field in ("keys", "liked", "disliked"):
        files = {"files": ("crop.png", CROP)}
        answer = client.post("/api/query", data={field: key}, files=files)
        assert answer.status_code == 404, answer.text
    form = {"key": key, "query_key": key}
    assert client.post("/api/explain", data=form, files={"x": b""}).status_code == 404


def test_a_file_that_was_replaced_by_no_picture_is_not_served(client, gallery):
    key = next(iter(gallery.rows))
    path, before = gallery.image_path(key), gallery.image_path(key).read_bytes()
    path.write_bytes(b"<!doctype html><script>alert(1)</script>")
    try:
        for end in ("", "/thumbnail"):
            answer = client.get(f"/api/images/{key}{end}")
            assert (answer.status_code, "no picture" in answer.text) == (404, True)
    finally:
        path.write_bytes(before)
