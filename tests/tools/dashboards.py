"""The dashboards as tests look at them: their queries with variables filled in, and what their schema does not know."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.repository import ROOT

GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
#: What Grafana reads and the generated models leave out: a data source's part of an annotation, two newer words.
BEYOND = re.compile(
    r"\.annotations\.list\[\d\]\.(target\.\w+|titleFormat|textFormat|tagKeys|step|useValueForTime)"
    r"|\.templating\.list\[\d\]\.definition|\.panels\[\d+\]\.maxPerRow"
)
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


def board(path: Path) -> dict[str, Any]:
    """Return a dashboard as it is written."""
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read


def unknown_to_schema(written: Mapping[str, Any]) -> list[str]:
    """Return the places of a dashboard that Grafana's own models do not know, or read otherwise."""
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(dict(written)), cls=JSONEncoder))
    return [place for place in _differences(written, read, "") if not BEYOND.fullmatch(place)]


def _differences(written: Any, read: Any, place: str) -> Iterator[str]:
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            if key in read:
                yield from _differences(value, read[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from _differences(one, other, f"{place}[{number}]")
    elif written != read:
        yield place


def panels(written: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in written["panels"] if panel["type"] != "row"]


def queries(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each query of a dashboard with the title of what it is for, variables as they are written."""
    for panel in panels(written):
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for annotation in written["annotations"]["list"]:
        yield annotation["name"], annotation["target"]["expr"]


def variables(written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each variable that is filled by a query: its name, the series it asks for, and the label it takes."""
    for variable in written["templating"]["list"]:
        if variable["type"] == "query":
            found = LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found, f"{variable['name']} is no label_values"
            yield variable["name"], found[1], found[2]


def filled(query: str, values: Mapping[str, str], interval: str = "1m") -> str:
    """Return ``query`` with the variables' values and an interval, as Grafana sends it."""
    query = query.replace("$__rate_interval", interval)
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    return query
