"""Reading lists page by page."""

from collections.abc import AsyncGenerator
from typing import Any

from foundry_rollouts.foundry.calls import Call
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.shapes import refuse

PAGE = 100  #: The most that the cloud puts on one page.


async def items(transport: Transport, call: Call, id_field: str = "id") -> AsyncGenerator[dict[str, Any], None]:
    """Yield every item of a list, in pages of ``PAGE``. Raises CloudError.

    It ends at ``has_more: false``, at an empty page and at a cursor seen before, since servers differ; a page that
    tells of more and not where is half a list, and an error.
    """
    cursors: set[str] = set()
    page = call.asking({"limit": str(PAGE)})
    while True:
        reply = await transport.request(page)
        json: dict[str, Any] = reply.json
        data, has_more = json["data"], json.get("has_more")
        cursor = _cursor(json, data, id_field)
        if has_more and not cursor:
            refuse(call.operation, reply.status, "a page that tells of more, and not where it begins")
        if cursor in cursors or not (data or has_more):
            return
        for item in data:
            yield item
        if not cursor or has_more is False:
            return
        cursors.add(cursor)
        page = page.asking({"after": cursor})


def _cursor(json: dict[str, Any], data: list[dict[str, Any]], id_field: str) -> str:
    """Return where the next page begins, empty when there is none to ask for."""
    named = json.get("last_id")
    if not named and json.get("has_more") and data:
        named = data[-1].get(id_field)
    return str(named or "")
