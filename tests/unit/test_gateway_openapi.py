"""The OpenAPI document is valid, complete and says how errors look."""

from typing import Any

import pytest
from openapi_spec_validator import validate

from services.gateway.app import make_api


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_api().openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, found) for path, methods in document["paths"].items() for method, found in methods.items()]


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_every_operation_is_named_tagged_and_summarised(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for _, _, operation in found:
        assert operation["tags"]
        assert operation["summary"]


def test_every_operation_but_login_takes_credentials(document: dict[str, Any]) -> None:
    unguarded = [path for path, _, operation in operations(document) if not operation.get("security")]
    assert unguarded == ["/api/v1/auth/login"]


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                assert list(response["content"]) == ["application/problem+json"]
        assert {"401", "422", "503"} <= set(operation["responses"])


def test_a_suite_is_described_by_its_model(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/suites"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/yaml"}
    assert "cases" in document["components"]["schemas"]["SuiteDefinition"]["properties"]
