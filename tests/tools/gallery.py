"""Writes the tables of the gallery of policies out of the plans: ``python -m tools.gallery``."""

import re

from foundry_rollouts.cli.policy_plan import warnings_in
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import Plan, plan
from foundry_rollouts.core.forecast.words import span_words
from foundry_rollouts.policies.load import policies_in
from tools.repository import ROOT

GALLERY = ROOT / "deploy" / "policies" / "gallery"
PAGE = GALLERY / "README.md"
#: The users' calls a second that each plan is made for, as the head of its file says.
TRAFFIC = {
    "first-team": 2,
    "low-traffic": 0.02,
    "critical": 20,
    "fast-internal": 2,
    "pair": 2,
    "migration": 2,
    "only-looking": 2,
    "emulator": 0,
}
COLUMNS = (
    "policy",
    "calls a second",
    "a good version is promoted after",
    "a dead one is found after",
    "one that fails 10 points more",
    "calls of the probe",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def page() -> str:
    """Return the page as it should be."""
    text = PAGE.read_text("utf-8")
    text = _filled(text, "plans", "\n".join([HEAD, *map(row, TRAFFIC)]))
    said = "\n".join(warnings())
    return _filled(text, "warnings", f"```text\n{said}\n```")


def row(name: str) -> str:
    """Return the row of one policy."""
    plan = planned(name)
    first = next(step for step in plan.steps if step.weight)
    seen = {each.regression.name: span_words(each.after) for each in first.seen if each.after is not None}
    promoted = "never by itself" if plan.until_promoted is None else span_words(plan.until_promoted)
    waits = f" and {plan.approvals} approval{'s' if plan.approvals > 1 else ''}" if plan.approvals else ""
    probes = sum(2 * step.probe_pairs for step in plan.steps)
    return f"| `{name}` | {TRAFFIC[name]:g} | {promoted}{waits} | {seen['dead']} | {seen['+10 points']} | {probes} |"


def planned(name: str) -> Plan:
    """Return the plan of one policy at its traffic."""
    (policy,) = policies_in(GALLERY / f"{name}.yaml")
    return plan(policy, Traffic(TRAFFIC[name], 0.01))


def warnings() -> list[str]:
    """Return what ``policy lint`` warns about at its defaults."""
    return [line.removeprefix(f"{GALLERY}/") for line, _ in warnings_in([GALLERY], Traffic(2.0, 0.01))]


def _filled(text: str, mark: str, content: str) -> str:
    return re.sub(
        rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", lambda it: f"{it[1]}{content}\n{it[2]}", text, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
