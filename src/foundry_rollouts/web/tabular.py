"""Listings as CSV, for people with a spreadsheet: of the API and of the pages."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.untrusted import visible_line

MEDIA_TYPE = "text/csv"
MOST_ROWS = 10_000  #: More than anybody reads; what is older has an earlier ``until``.
#: The OpenAPI text of a listing.
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}
#: A spreadsheet takes what begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: Request) -> bool:
    """Whether who asks takes CSV."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], name: str) -> Response:
    """Return ``rows`` as a file of that name; what a spreadsheet would run is text."""
    lines = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response("".join(map(csv_line, lines)), media_type=MEDIA_TYPE, headers=headers)


def csv_line(cells: Sequence[str]) -> str:
    """Return one line; what a spreadsheet would run is text, and so is what a terminal would."""
    line = io.StringIO()
    csv.writer(line).writerow(["'" * cell.startswith(FORMULA) + visible_line(cell) for cell in cells])
    return line.getvalue()


def _text(value: Any) -> str:
    return "" if value is None else str(value)
