"""The REST interface does what its document says, whatever it is asked."""

import fake_gallery
import httpx
import hypothesis
import pytest
from served import served

from jreid.serve.app import make_app
from jreid.serve.hosts import Hosts

schemathesis = pytest.importorskip("schemathesis")

TOKEN = "correct-horse-battery"
HEADERS = {"X-Jreid": "1", "Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    gallery = fake_gallery.make_gallery(tmp_path_factory.mktemp("gallery"), people=2)
    app = make_app(
        gallery,
        fake_gallery.recognise,
        fake_gallery.explain,
        hosts=Hosts(),
        token=TOKEN,
    )
    with served(app) as where:
        yield where


@pytest.fixture(scope="module")
def document(where):
    url = f"http://{where}/api/openapi.json"
    return schemathesis.openapi.from_url(url)


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@hypothesis.settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_every_answer_is_documented(case):
    case.call_and_validate(headers=HEADERS)


def test_the_document_names_every_answer(where):
    paths = httpx.get(f"http://{where}/api/openapi.json").json()["paths"]
    assert sorted(paths) == [
        "/api/explain",
        "/api/health",
        "/api/images",
        "/api/images/{key}",
        "/api/images/{key}/thumbnail",
        "/api/info",
        "/api/query",
    ]
    for path in ("/api/query", "/api/explain"):
        answers = paths[path]["post"]["responses"]
        assert {"200", "401", "403", "404", "413", "415", "503"} <= set(answers)
        kind = answers["200"]["content"]["application/json"]["schema"]
        assert "$ref" in kind  # a model of its own
