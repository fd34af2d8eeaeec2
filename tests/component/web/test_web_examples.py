"""Each operation of the OpenAPI text shows what is sent and what is answered, and both are as its schema says."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from component.web.test_web_role_matrix import a_service
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.examples import is_json


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return create_app(a_service(None)).openapi()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def wrong(described: dict[str, Any], schema: dict[str, Any], example: object) -> list[str]:
    """Return what is wrong with ``example`` by ``schema``."""
    whole = {**schema, "components": described["components"]}
    return [error.message for error in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(example)]


def test_each_answer_that_went_well_has_an_example_that_its_schema_allows(described: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(described):
        for status, answer in operation["responses"].items():
            if int(status) < 400 and is_json(answer):
                content = answer["content"]["application/json"]
                assert "example" in content, (name, status)
                assert wrong(described, content["schema"], content["example"]) == [], (name, status)
                checked += 1
    assert checked > 20


def test_each_body_has_an_example_that_its_schema_allows(described: dict[str, Any]) -> None:
    bodies = 0
    for name, operation in operations(described):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            examples = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]].get("examples", [])
            assert examples, name
            assert [each for example in examples for each in wrong(described, schema, example)] == [], name
            bodies += 1
    assert bodies >= 10


def test_an_example_that_its_schema_does_not_allow_is_found(described: dict[str, Any]) -> None:
    assert wrong(described, {"$ref": "#/components/schemas/Me"}, {"name": 7, "role": "king", "way": "token"})
