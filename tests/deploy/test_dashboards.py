"""The dashboards that we ship: Grafana's models know them, their queries fit the metrics, and mistakes are found.

A scenario asks a live Prometheus every query (``tests/scenarios/test_story_of_monitoring.py``).
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.dashboards import FILES, GRAFANA, board, filled, panels, queries, unknown_to_schema, variables
from tools.monitoring import faults_of_query, in_yaml, known_metrics
from tools.repository import ROOT

BOARDS = {path.stem: board(path) for path in FILES}
UNITS = {"short", "s", "percent", "percentunit", "ops", "reqps", "bytes"}


def faults(written: dict[str, Any]) -> list[str]:
    """Return what is wrong with a dashboard's queries and variables."""
    known, named = known_metrics(), [name for name, _, _ in variables(written)]
    asked = [query for _, query in queries(written)] + [series for _, series, _ in variables(written)]
    found = [fault for query in asked for fault in faults_of_query(filled(query, {}), known)]
    left = dict.fromkeys((*named, "datasource"), "")
    return found + [f"{query}: a variable that there is not" for query in asked if "$" in filled(query, left)]


def test_there_are_three_and_they_link_to_each_other() -> None:
    assert sorted(BOARDS) == ["agent", "controller", "fleet"]
    uids = {name: written["uid"] for name, written in BOARDS.items()}
    links = {link["url"] for written in BOARDS.values() for link in written["links"]}
    assert links == {f"/d/{uid}" for uid in uids.values()}


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_models_know_all_of_a_dashboard(name: str) -> None:
    assert unknown_to_schema(BOARDS[name]) == []


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_is_promql_about_metrics_that_exist(name: str) -> None:
    assert faults(BOARDS[name]) == []


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_has_its_own_number_a_title_a_unit_and_a_legend(name: str) -> None:
    shown = panels(BOARDS[name])
    assert len({panel["id"] for panel in BOARDS[name]["panels"]}) == len(BOARDS[name]["panels"])
    assert [panel for panel in shown if not panel["title"]] == []
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in shown} <= UNITS
    lines = [target for panel in shown if panel["type"] == "timeseries" for target in panel["targets"]]
    assert [target["expr"] for target in lines if target["legendFormat"] == "__auto"] == []


@pytest.mark.parametrize("name", BOARDS)
def test_no_two_panels_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def misname(written: dict[str, Any]) -> None:
    panels(written)[0]["targets"][0]["expr"] = "sum(foundry_rollouts_rollout)"


def misplace_a_brace(written: dict[str, Any]) -> None:
    panels(written)[0]["targets"][0]["expr"] = "sum(foundry_rollouts_rollouts"


def misspell_a_phase(written: dict[str, Any]) -> None:
    written["annotations"]["list"][0]["target"]["expr"] = 'foundry_rollouts:rollout:phase{phase="rolledback"}'


def forget_a_variable(written: dict[str, Any]) -> None:
    panels(written)[0]["targets"][0]["expr"] = 'foundry_rollouts_weight{agent="$agnet"}'


@pytest.mark.parametrize("plant", [misname, misplace_a_brace, misspell_a_phase, forget_a_variable])
def test_a_planted_mistake_in_a_query_is_found(plant: Callable[[dict[str, Any]], None]) -> None:
    written = copy.deepcopy(BOARDS["agent"])
    plant(written)
    assert len(faults(written)) == 1


def test_a_planted_mistake_in_the_form_is_found() -> None:
    written = copy.deepcopy(BOARDS["fleet"])
    panels(written)[0]["fieldConfig"]["defaults"]["units"] = "s"
    panels(written)[1]["grid"] = {}
    assert len(unknown_to_schema(written)) == 2


def test_the_dashboards_are_found_where_the_container_has_them() -> None:
    provider = in_yaml(GRAFANA / "provisioning" / "dashboards" / "foundry-rollouts.yaml")["providers"][0]
    mounts = in_yaml(ROOT / "deploy" / "compose" / "compose.yaml")["services"]["grafana"]["volumes"]
    inside = {Path(outside).name: place for outside, place, *_ in (mount.split(":") for mount in mounts)}
    assert inside["dashboards"] == provider["options"]["path"]
    assert inside["provisioning"] == "/etc/grafana/provisioning"


def test_the_data_source_is_the_prometheus_beside_it() -> None:
    source = in_yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yaml")["datasources"][0]
    interval = in_yaml(ROOT / "deploy" / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", interval)
    assert source["url"] == "http://127.0.0.1:9090"
