"""Pages: whatever the limit and order, every object is seen once, also by a pager that ignores ``has_more``."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry_emulator.errors import FoundryError
from foundry_emulator.paging import page


def shown(items: list[str], query: dict[str, str]) -> dict[str, Any]:
    return page(items, query, lambda item: item, lambda item: {"id": item})


@given(st.integers(0, 30), st.integers(1, 10), st.sampled_from(["asc", "desc"]))
def test_a_pager_that_looks_only_at_last_id_sees_everything_once_and_ends(count: int, limit: int, order: str) -> None:
    items = [f"item-{number}" for number in range(count)]
    seen: list[str] = []
    query = {"limit": str(limit), "order": order}
    for _ in range(count + 2):
        envelope = shown(items, query)
        seen += [each["id"] for each in envelope["data"]]
        if not envelope["last_id"]:
            break
        query = {**query, "after": envelope["last_id"]}
    assert seen == (items if order == "asc" else items[::-1])
    assert envelope["last_id"] is None


def test_before_gives_the_page_just_in_front_of_the_cursor() -> None:
    envelope = shown(list("abcdef"), {"order": "asc", "before": "e", "limit": "2"})
    assert [each["id"] for each in envelope["data"]] == ["c", "d"]
    assert envelope["has_more"]


@pytest.mark.parametrize(
    ("query", "param"),
    [({"limit": "0"}, "limit"), ({"limit": "101"}, "limit"), ({"limit": "x"}, "limit"), ({"after": "gone"}, "after")],
)
def test_a_wrong_query_is_refused_by_name(query: dict[str, str], param: str) -> None:
    with pytest.raises(FoundryError) as caught:
        shown(["a"], query)
    assert caught.value.param == param
