"""Foreign hosts, other sites' pages, wrong tokens, too much at once: all refused."""

import concurrent.futures
import dataclasses
import io
import pathlib
import re
import socket
import types

import fake_gallery
import httpx
import numpy as np
import patient_http
import pytest
from PIL import Image
from served import served

from jreid.data.image_file import MAX_PIXELS
from jreid.search.guard import recognise
from jreid.search.verbs import opening
from jreid.serve import __main__ as program
from jreid.serve import app, hosts, pictures, server
from jreid.serve.hosts import listen_at
from jreid.serve.limits import Limits
from jreid.serve.server import listening_socket
from jreid.serve.service import Service

TOKEN = "correct-horse-battery"
CROP = fake_gallery.encoded(fake_gallery.person(2, "infrared", 3))
OWN = {"X-Jreid": "1"}


def app_of(root, explain=fake_gallery.explain, **options):
    gallery = fake_gallery.make_gallery(root, people=2)
    return fake_gallery.application(gallery, explain, **options)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    with served(app_of(tmp_path_factory.mktemp("open"))) as where:
        yield where


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with served(app_of(tmp_path_factory.mktemp("locked"), token=TOKEN)) as where:
        yield where


def post(where, headers=OWN, path="query"):
    files = {"files": ("crop.png", CROP)}
    return patient_http.post(f"http://{where}/api/{path}", files=files, headers=headers)


@pytest.mark.parametrize(
    "host, allowed",
    [
        ("127.0.0.1:8000", True),
        ("127.0.0.1", True),
        ("localhost:1", True),
        ("LocalHost", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example#localhost", False),
        ("localhost@evil.example", False),
        ("192.168.0.1", False),
        ("0.0.0.0:8000", False),
        ("127.0.0.1:8000:1", False),
        ("", False),
    ],
)
def test_a_foreign_host_is_refused_everywhere(where, host, allowed):
    for path in ("/", "/page.js", "/api/info", "/api/health", "/nothing"):
        answer = patient_http.get(f"http://{where}{path}", headers={"Host": host})
        assert (answer.status_code not in (400, 421)) == allowed, path
    assert (post(where, {**OWN, "Host": host}).status_code == 200) == allowed


@pytest.mark.parametrize(
    "name", ["host:8443", "https://host", "host/", "2001:db8::1", "", "h\xf6st"]
)
def test_a_further_name_that_nobody_can_use_is_refused(name):
    with pytest.raises(ValueError, match="--names has .* without a port"):
        listen_at("127.0.0.1", "", ("host", name))
    _, hosts = listen_at("127.0.0.1", "", ("Host", "[2001:DB8::1]"))
    assert hosts.allows("host:8443") and hosts.allows("[2001:db8::1]:80")


def test_a_request_without_host_is_refused(where):
    name, port = where.split(":")
    with socket.create_connection((name, int(port))) as raw:
        raw.sendall(b"GET /api/info HTTP/1.0\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "http://127.0.0.1:8000.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_is_refused(where, headers):
    assert post(where, {**OWN, **headers}).status_code == 403
    info = patient_http.get(f"http://{where}/api/info", headers=headers)
    assert info.status_code == 403


def test_the_own_page_and_programs_are_let_in(where):
    own = {"Origin": f"http://{where}", "Sec-Fetch-Site": "same-origin"}
    assert post(where, {**OWN, **own}).status_code == 200
    assert post(where).status_code == 200


def test_a_form_of_another_page_lacks_the_header(where):
    """It is sent without being asked about, as a browser without Origin would."""
    answer = post(where, {})
    assert (answer.status_code, "X-Jreid" in answer.text) == (403, True)


def test_no_other_site_is_ever_allowed(where):
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-jreid",
    }
    answer = patient_http.options(f"http://{where}/api/query", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/api/info", "/nothing", "/api/query"]
)
def test_every_answer_has_the_headers(where, path):
    for host in (where, "evil.example"):
        headers = patient_http.get(
            f"http://{where}{path}", headers={"Host": host}
        ).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers and "set-cookie" not in headers


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong-horse-battery",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"bearer {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
def test_a_wrong_token_opens_nothing(locked, given):
    headers = {} if given is None else {"Authorization": given}
    for path in ("info", "images", "images/x", "images/x/thumbnail", "nothing"):
        answer = patient_http.get(f"http://{locked}/api/{path}", headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("query", "explain"):
        assert post(locked, {**OWN, **headers}, path).status_code == 401
    assert (
        patient_http.get(f"http://{locked}/api/info?token={TOKEN}").status_code == 401
    )


def test_the_token_opens_the_gallery_and_the_page_needs_none(locked):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (
        patient_http.get(f"http://{locked}/api/info", headers=headers).status_code
        == 200
    )
    assert post(locked, {**OWN, **headers}).status_code == 200
    page = patient_http.get(f"http://{locked}/").text
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert {"/page.js", "/page.css", "/icon.svg"} <= set(files)
    script = patient_http.get(f"http://{locked}/page.js").text
    files += re.findall(r'from "(/[^"]+)"', script)
    assert "/api.js" in files
    for path in ("/", "/api/health", "/api/openapi.json", *files):
        assert patient_http.get(f"http://{locked}{path}").status_code == 200, path


@pytest.mark.parametrize(
    "header, status",
    [
        ("", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: 1e3\r\n", 400),
        ("Content-Length: 99999999999999999999999\r\n", 400),
        ("Content-Length: 9999999999\r\n", 413),
    ],
)
def test_a_body_says_its_length(where, header, status):
    name, port = where.split(":")
    head = f"POST /api/query HTTP/1.1\r\nHost: {where}\r\nX-Jreid: 1\r\n{header}\r\n"
    with socket.create_connection((name, int(port)), timeout=60) as raw:
        raw.sendall(head.encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_a_body_that_does_not_arrive_is_given_up(tmp_path):
    limits = Limits(seconds=0.3)
    with served(app_of(tmp_path, limits=limits)) as where:
        name, port = where.split(":")
        head = (
            f"POST /api/query HTTP/1.1\r\nHost: {where}\r\nX-Jreid: 1\r\n"
            "Content-Type: multipart/form-data; boundary=y\r\n"
            "Content-Length: 1000\r\n\r\n--y\r\n"
        )
        with socket.create_connection((name, int(port)), timeout=60) as raw:
            raw.sendall(head.encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.fixture
def held_up(tmp_path):
    """A gallery whose queries wait for `goes_on`."""
    gallery = fake_gallery.make_gallery(tmp_path, people=2)
    gallery.goes_on.clear()
    yield gallery
    gallery.goes_on.set()


def refused(answers, count):
    """Waits for the answers of those who are refused, which is at once."""
    done = concurrent.futures.as_completed(answers, timeout=60)
    return [next(done).result() for _ in range(count)]


def test_one_more_than_can_wait_is_told_to_come_again(held_up):
    with (
        served(fake_gallery.application(held_up, limits=Limits(waiting=2))) as where,
        concurrent.futures.ThreadPoolExecutor(6) as clients,
    ):
        answers = [clients.submit(post, where) for _ in range(6)]
        for busy in refused(answers, 4):
            assert (busy.status_code, "try again" in busy.text) == (503, True)
            assert int(busy.headers["retry-after"]) > 0
        for path in ("health", "info", "images"):  # wait for no one
            assert patient_http.get(f"http://{where}/api/{path}").status_code == 200
        held_up.goes_on.set()
        codes = sorted(answer.result().status_code for answer in answers)
        assert codes == [200, 200, 503, 503, 503, 503]
        assert post(where).status_code == 200


def test_bodies_in_hand_are_bounded_together(held_up):
    size = len(
        httpx.Request("POST", "http://x", files={"f": ("crop.png", CROP)}).read()
    )
    limits = Limits(request_bytes=size + 200, memory=2 * size)
    with (
        served(fake_gallery.application(held_up, limits=limits)) as where,
        concurrent.futures.ThreadPoolExecutor(3) as clients,
    ):
        answers = [clients.submit(post, where) for _ in range(3)]
        for busy in refused(answers, 2):
            assert (busy.status_code, "at once" in busy.text) == (503, True)
        held_up.goes_on.set()
        assert sorted(a.result().status_code for a in answers) == [200, 503, 503]
        assert post(where).status_code == 200  # what was held is free again


def test_a_failure_is_told_without_its_contents(tmp_path, caplog):
    def failing(*_):
        raise RuntimeError("secret pixels")

    with served(app_of(tmp_path, explain=failing)) as where:
        key = patient_http.get(f"http://{where}/api/images").json()["images"][0]["key"]
        form = {"key": key}
        files = {"file": ("crop.png", CROP)}
        answer = patient_http.post(
            f"http://{where}/api/explain", data=form, files=files, headers=OWN
        )
        assert (answer.status_code, list(answer.json())) == (500, ["error"])
        assert "secret" not in answer.text
        assert "content-security-policy" in answer.headers
        assert post(where).status_code == 200


def test_a_network_that_cannot_be_explained_is_said(tmp_path):
    def explain(*_):
        raise ValueError("this model has no maps to explain")

    with served(app_of(tmp_path, explain=explain)) as where:
        key = patient_http.get(f"http://{where}/api/images").json()["images"][0]["key"]
        files = {"file": ("crop.png", CROP)}
        url = f"http://{where}/api/explain"
        answer = patient_http.post(url, data={"key": key}, files=files, headers=OWN)
        assert (answer.status_code, "no maps" in answer.text) == (501, True)


def test_a_missing_explanation_is_said(tmp_path):
    why = "an exported file has no maps"
    with served(app_of(tmp_path, explain=None, unexplained=why)) as where:
        info = patient_http.get(f"http://{where}/api/info").json()
        assert (info["explains"], info["unexplained"]) == (False, why)
        form = {"key": "x"}
        files = {"file": ("crop.png", CROP)}
        url = f"http://{where}/api/explain"
        answer = patient_http.post(url, data=form, files=files, headers=OWN)
        assert (answer.status_code, answer.json()) == (501, {"error": why})


def test_who_comes_before_the_server_works_is_not_turned_away():
    with listening_socket("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname(), timeout=60):
            pass
        port = listening.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}.*give another --port"):
            listening_socket("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    address, names = listen_at(host, "", ())
    assert not names.any_number and names.allows("localhost:80")
    assert address in ("127.0.0.1", "127.0.0.5", "::1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"])
def test_other_machines_reach_it_only_with_a_token(host):
    with pytest.raises(ValueError, match="which other machines reach: give a --token"):
        listen_at(host, "", ())
    _, names = listen_at(host, TOKEN, ("search.example",))
    for allowed in ("192.0.2.1:80", "search.example", socket.gethostname()):
        assert names.allows(allowed)
    assert not names.allows("evil.example")


@pytest.mark.parametrize("host", ["no.such.invalid", "", "256.1.1.1", "a b", "\0"])
def test_an_unknown_host_is_refused(host):
    with pytest.raises(ValueError, match="no address of this machine"):
        listen_at(host, TOKEN, ())


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "with a space in it", "ä" * 20]
)
def test_a_weak_token_is_refused(token):
    with pytest.raises(ValueError, match="allowed are 16"):
        hosts.check_token(token)


def test_pixels_that_are_never_decoded_are_not_announced():
    Limits(pixels=MAX_PIXELS).check()
    with pytest.raises(ValueError, match=f"--limits.pixels is .*up to {MAX_PIXELS}"):
        Limits(pixels=MAX_PIXELS + 1).check()


@pytest.mark.parametrize("name", Limits.__slots__)
def test_limits_that_refuse_everything_are_refused(name):
    nothing = 0.0 if name == "seconds" else 0
    with pytest.raises(ValueError, match=f"--limits.{name} is 0.*; allowed"):
        dataclasses.replace(Limits(), **{name: nothing}).check()


@pytest.mark.parametrize("by", ["file", "query_key"])
def test_a_match_is_explained_from_the_query_to_the_gallery(tmp_path, by):
    """Each picture with its own modality, and each map with its own picture."""
    asked = []

    def explain(*given):
        asked.append(given)
        return fake_gallery.Explanation(query_map=np.zeros((4, 2)))

    gallery = fake_gallery.make_gallery(tmp_path, people=2)
    service = Service(gallery, fake_gallery.recognise, explain, Limits())
    query, match = [
        next(hit for hit, _ in gallery.rows.values() if hit.modality == modality)
        for modality in ("infrared", "visible")
    ]
    contents, pixels = [gallery.image_path(x.key).read_bytes() for x in (query, match)]
    if by == "file":
        told = service.explain(contents, None, None, match.key)
        contents = np.asarray(Image.open(io.BytesIO(contents)))
    else:
        told = service.explain(None, query.key, None, match.key)
    ((embedder, *given),) = asked
    assert embedder is gallery.embedder and given[1:] == ["infrared", pixels, "visible"]
    np.testing.assert_array_equal(given[0], contents)
    assert told.query_map == [[0.0] * 2] * 4 and told.gallery_map == [[1.0] * 2] * 4
    assert told.similarity == 0.75


def test_pictures_that_are_sent_come_before_those_of_the_gallery(tmp_path):
    """Each with its modality: the one that is told, the recognised, or the entry's."""
    gallery = fake_gallery.make_gallery(tmp_path, people=2)
    entry = next(hit for hit, _ in gallery.rows.values() if hit.modality == "visible")
    with served(fake_gallery.application(gallery)) as where:
        for told in (None, "visible"):
            answer = patient_http.post(
                f"http://{where}/api/query",
                data={"keys": entry.key, **({"modality": told} if told else {})},
                files={"files": ("crop.png", CROP)},
                headers=OWN,
            ).json()
            asked = gallery.asked[-1]
            assert asked["modality"] == [told or "infrared", "visible"]
            assert asked["images"][1] == gallery.image_path(entry.key).read_bytes()
            (seen,) = answer["query"]
            assert seen["modality"] == (told or "infrared")
            assert (seen["kind"], seen["warnings"]) == ("near-infrared", ["tiny"])
            assert answer["hits"][0]["probability"] == 1


def test_nobody_is_named_where_pictures_are_of_two_people(tmp_path):
    gallery = fake_gallery.make_gallery(tmp_path, people=2)
    keys = [hit.key for hit, _ in gallery.rows.values()]
    with served(fake_gallery.application(gallery)) as where:

        def named(*keys):
            url, files = f"http://{where}/api/query", {"x": b""}
            data = {"keys": list(keys)}
            return patient_http.post(url, data=data, files=files, headers=OWN).json()

        assert named(keys[0], keys[1])["identity"] == "0000"
        assert named(keys[0], keys[-1])["identity"] is None


def test_the_page_is_told_the_limits_and_the_kind_of_times(tmp_path):
    gallery = fake_gallery.make_gallery(tmp_path, people=1)
    limits = Limits(files=3, file_bytes=5000, request_bytes=9000, pixels=4000)
    service = Service(gallery, fake_gallery.recognise, None, limits)
    told = service.info()
    bounds = ("files", "file_bytes", "request_bytes", "pixels")
    assert [getattr(told.limits, n) for n in bounds] == [3, 5000, 9000, 4000]
    kinds = []
    for time in (None, "12.5", "2026-11-27T01:00:00"):
        gallery.rows = {
            key: (dataclasses.replace(hit, time=time), vector)
            for key, (hit, vector) in gallery.rows.items()
        }
        kinds.append(service.info().times)
    assert kinds == ["none", "numbers", "dates"]


def test_a_large_image_is_shown_small_and_a_small_one_as_it_is():
    for size, shown in (((900, 300), (320, 107)), ((30, 60), (30, 60))):
        pixels = np.zeros((*size[::-1], 3), np.uint8)
        assert Image.open(io.BytesIO(pictures.small(pixels))).size == shown


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif", "webp"])
def test_an_image_is_served_as_what_it_is(tmp_path, kind):
    path = tmp_path / "image"
    Image.new("RGB", (8, 8)).save(path, kind)
    assert pictures.whole_file(path) == (path.read_bytes(), f"image/{kind}")


def test_a_tokens_file_comes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(program.TOKEN, raising=False)
    assert program.read_token(None) == ""
    monkeypatch.setenv(program.TOKEN, "of-the-environment")
    assert program.read_token(None) == "of-the-environment"
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert program.read_token(tmp_path / "token") == TOKEN


def test_the_program_serves_what_it_is_told(tmp_path, monkeypatch):
    """All of its options, with a gallery and a server that are none."""
    opened, made, blanks = [], {}, []
    gallery = fake_gallery.make_gallery(tmp_path, people=1)
    embedder = gallery.embedder
    monkeypatch.setattr(
        embedder, "network", lambda pixels, modality: blanks.append(modality), False
    )
    monkeypatch.setattr(embedder, "frozen", None, raising=False)
    monkeypatch.delenv(program.TOKEN, raising=False)
    monkeypatch.setattr(
        opening, "open_with_network", lambda *given: opened.append(given) or gallery
    )

    def make_app(*given, **words):
        made.update(words, given=given)

    monkeypatch.setattr(app, "make_app", make_app)
    run = types.SimpleNamespace(run=lambda sockets: None)
    monkeypatch.setattr(server, "make_server", lambda _: run)
    (tmp_path / "token").write_text(TOKEN)
    words = ["--gallery=g", "--workdir=w", "--step=3", "--config=own.py", "--port=0"]
    words += ["--names", "here.example", "--limits.waiting=5"]
    assert program.main([*words, "--token_file", str(tmp_path / "token")]) == 0
    places = "g", pathlib.Path("w"), 3, pathlib.Path("own.py"), None
    assert opened == [places] and blanks == ["visible", "infrared"]
    assert made["given"] == (gallery, recognise, None)
    assert "an exported file" in made["unexplained"]
    assert made["hosts"].allows("here.example:8000")
    assert (made["token"], made["limits"]) == (TOKEN, Limits(waiting=5))
