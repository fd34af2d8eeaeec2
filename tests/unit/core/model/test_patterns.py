"""Patterns and schemas of policies against texts of agents: always an answer, soon, and nothing is fetched."""

import pytest

from foundry_rollouts.core.model.patterns import has_pattern, obeys, refuse_pattern, refuse_schema, stands_alone
from foundry_rollouts.errors import UsageError

ENDLESS = r"^(\w+[\s,]?)*$"  #: Backtracking engines try every way to cut the text: 2 to the power of its length.
ANSWER = "I am your friendly support assistant and can help you with orders!" * 20


def test_a_pattern_with_more_ways_to_match_than_there_are_atoms_is_answered() -> None:
    assert not has_pattern(ANSWER, ENDLESS)
    assert has_pattern(ANSWER[:-1].replace("!", ""), ENDLESS)


def test_so_is_one_inside_a_schema() -> None:
    assert not obeys(ANSWER, {"type": "string", "pattern": ENDLESS})
    assert not obeys({ANSWER: 1}, {"patternProperties": {ENDLESS: {}}, "additionalProperties": False})


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "[", "(a{1000}){1000}"])
def test_a_pattern_that_might_never_end_is_refused_with_the_syntax_to_use(pattern: str) -> None:
    with pytest.raises(UsageError, match="write RE2 syntax"):
        refuse_pattern(pattern)
    with pytest.raises(UsageError, match="write RE2 syntax"):
        refuse_schema({"properties": {"a": {"pattern": pattern}}})


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/secret", "file:///etc/passwd", "other.json"])
@pytest.mark.parametrize("key", ["$ref", "$dynamicRef"])
def test_a_reference_to_another_document_is_not_fetched_and_nothing_is_checked(key: str, address: str) -> None:
    schema = {"items": {key: address}}
    refuse_schema(schema)
    assert not stands_alone(schema)
    with pytest.raises(UsageError, match="none is ever fetched"):
        obeys([1], schema)


@pytest.mark.parametrize("schema", [{"type": "strin"}, {"$ref": "#/nowhere"}, {"$schema": "http://127.0.0.1:1/"}])
def test_what_is_no_schema_is_refused(schema: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="this is no JSON schema"):
        refuse_schema(schema)


def test_a_schema_that_refers_to_itself_ends() -> None:
    nested: list[object] = []
    for _ in range(500):
        nested = [nested]
    assert obeys(nested, {"type": "array", "items": {"$ref": "#"}})
    assert obeys(1, {"$ref": "#"})
