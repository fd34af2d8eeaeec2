"""Listings as CSV, for people with a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "text/csv"
MOST_ROWS = 10_000
#: The OpenAPI text of a listing.
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}
#: A spreadsheet takes what begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: Request) -> bool:
    """Whether who asks takes CSV."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], name: str) -> Response:
    """Return ``rows`` as a file of that name; what a spreadsheet would run is text."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.getvalue(), media_type=MEDIA_TYPE, headers=headers)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
