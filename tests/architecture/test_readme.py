"""What the README lists is what there is."""

import re
from pathlib import Path

from fastapi.routing import APIRoute

from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.settings import reference
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web import api, app, outcomes
from tools.commands import commands
from tools.repository import ROOT, table_under


def test_it_lists_every_setting_with_its_default_and_meaning() -> None:
    defaults = {setting.variable: setting.default for setting in reference()}
    shown = {variable: "must be set" if text is None else f"`{text}`" for variable, text in defaults.items()}
    meanings = {setting.variable: setting.meaning for setting in reference()}
    expected = [[f"`{variable}`", shown[variable], meanings[variable]] for variable in defaults]
    assert table_under("Settings") == expected


def test_it_lists_every_command_as_its_help_begins() -> None:
    expected = [[f"`foundry-rollouts {each.name}`", each.summary] for each in commands()]
    assert table_under("Commands") == expected


def test_it_lists_every_route_of_the_ops_api() -> None:
    routes = [
        route
        for router in (api.router, outcomes.router, app.router)
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    expected = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    listed = {re.sub(r"\?.*", "", request.strip("`")) for request, _ in table_under("The ops API")}
    assert listed == expected


def test_it_lists_every_metric() -> None:
    families = Metrics("any").registry.collect()
    expected = [f"`{family.name}{'_total' if family.type == 'counter' else ''}`" for family in families]
    assert [name for name, _, _ in table_under("Metrics")] == expected


def test_its_policy_is_in_order(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(found) == 1
    (tmp_path / "policy.yaml").write_text(found[0], "utf-8")
    assert [policy.name for policy in policies_in(tmp_path)] == ["support-agent"]
