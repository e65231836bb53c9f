"""The REST interface does what its document says, whatever it is asked."""

import fake_gallery
import hypothesis
import patient_http
import pytest
from served import served

schemathesis = pytest.importorskip("schemathesis")

TOKEN = "correct-horse-battery"
HEADERS = {"X-Jreid": "1", "Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    gallery = fake_gallery.make_gallery(tmp_path_factory.mktemp("gallery"), people=2)
    app = fake_gallery.application(gallery, token=TOKEN)
    with served(app) as where:
        yield where


@pytest.fixture(scope="module")
def document(where):
    url = f"http://{where}/api/openapi.json"
    return schemathesis.openapi.from_url(url)


SLOW = hypothesis.HealthCheck.too_slow
FILTERED = hypothesis.HealthCheck.filter_too_much
OPERATIONS = {
    "/api/health": "get",
    "/api/images": "get",
    "/api/images/{key}": "get",
    "/api/images/{key}/thumbnail": "get",
    "/api/info": "get",
    "/api/query": "post",
    "/api/explain": "post",
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("path", OPERATIONS)
def test_every_answer_is_documented(document, path, mode):
    operation = document[path][OPERATIONS[path]]
    if mode == "negative" and path in ("/api/health", "/api/info"):
        pytest.skip("takes nothing that could be wrong")
    # No schema can say that bytes are a picture, or that a gallery holds a key; and
    # what is wrong may be a header that is replaced here, or a field that no one reads.
    excluded = [
        schemathesis.checks.positive_data_acceptance,
        schemathesis.checks.negative_data_rejection,
    ]

    @hypothesis.settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[SLOW, FILTERED],
    )
    @hypothesis.given(operation.as_strategy(schemathesis.GenerationMode(mode)))
    def answers(case):
        case.call_and_validate(headers=HEADERS, excluded_checks=excluded)

    answers()


def test_the_document_names_every_answer(where):
    paths = patient_http.get(f"http://{where}/api/openapi.json").json()["paths"]
    assert {path: [*methods] for path, methods in paths.items()} == {
        path: [method] for path, method in OPERATIONS.items()
    }
    for path in ("/api/query", "/api/explain"):
        answers = paths[path]["post"]["responses"]
        assert {"200", "401", "403", "404", "413", "415", "503"} <= set(answers)
        kind = answers["200"]["content"]["application/json"]["schema"]
        assert "$ref" in kind  # a model of its own
