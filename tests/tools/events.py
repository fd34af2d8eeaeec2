"""The kinds of events in the history: which there are is read from the code, what each means stands here."""

import ast
import re
from collections.abc import Iterator

from tools.repository import PACKAGE

KIND = re.compile(r"(?:rollout|agent|sessions|line)\.[a-z_]+")
#: Where events are made; elsewhere they are only read.
MAKERS = ("core", "controller")
MEANINGS = {
    "rollout.created": "a version is on trial; it has no weight yet",
    "rollout.started": "it got its first weight",
    "rollout.advanced": "it got a higher weight, or a step was approved",
    "rollout.approved": "one more person approved, and others still have to",
    "rollout.approval_voided": "the version or the policy was changed: people are asked anew",
    "rollout.stepped_back": "from all traffic back to the last weight below 100",
    "rollout.promoted": "it is the stable version now",
    "rollout.rolled_back": "all new sessions go to the stable version again",
    "rollout.disabled": "the endpoint is closed: no safe version was left, or the policy says so",
    "rollout.failed": "the version never became active; traffic never moved",
    "rollout.aborted": "a person ended it before its first weight",
    "rollout.superseded": "something else took its place",
    "rollout.paused": "the weights stay until a person decides",
    "rollout.resumed": "a person went on",
    "rollout.held": "it waits, and why; during the first step: how long it will take",
    "rollout.waiting": "an approval, a person, or a proof that is late is waited for: `for` says which",
    "rollout.harmed": "harm is proved, and the policy leaves the answer to a person",
    "rollout.refused": "Foundry refused a change of the routing",
    "rollout.restored": "the plan's weights were restored after drift",
    "rollout.declined": "a command changed nothing, and why",
    "rollout.would_have_started": "under `mode: observe`: it would have got its first weight; nothing was moved",
    "rollout.would_have_advanced": "under `mode: observe`: it would have got a higher weight",
    "rollout.would_have_stepped_back": "under `mode: observe`: back to the last weight below 100",
    "rollout.would_have_promoted": "under `mode: observe`: it would have become the stable version",
    "rollout.would_have_rolled_back": "under `mode: observe`: it would have been rolled back",
    "rollout.would_have_disabled": "under `mode: observe`: the endpoint would have been closed",
    "rollout.began_again": "its policy acts by now, so it begins again from its first step",
    "rollout.acknowledged": "somebody knows how it ended badly",
    "agent.adopted": "the version that serves became the stable one: it was pinned already, or the policy adopts drift",
    "agent.pinned": "the endpoint names the version that serves, and no longer follows the latest one",
    "agent.would_have_pinned": "under `mode: observe`: the endpoint would have been pinned",
    "agent.drifted": "the routing was changed from outside between rollouts, which wait until it is as recorded",
    "agent.refused": "Foundry refused a change between rollouts",
    "agent.settings_restored": "a change of the weights lost settings of the endpoint; they were put back if possible",
    "agent.stable_gone": "the stable version was deleted; a person decides",
    "agent.versions_found": "versions appeared, and what happens to each",
    "agent.ungoverned": "no policy names the agent any more, or two do equally",
    "agent.unreadable": "the agent cannot be processed, and why",
    "agent.readable": "it can again",
    "agent.recreated": "it was deleted and made again under its name: another agent",
    "agent.held": "a person keeps it on its stable version",
    "agent.unheld": "a person ended that",
    "agent.hold_expired": "the time of a hold is over",
    "line.stopped": "a person stopped every rollout where it stands; the agent is `*`, or `PROJECT/*`",
    "line.started": "a person started the line again",
    "line.stop_expired": "the time of a stop is over",
    "sessions.stopped": "live sessions of a version that was rolled back were stopped",
    "sessions.unstopped": "they could not be, and why",
}


def kinds() -> set[str]:
    """Return every kind that the code makes: its text, where it is not the name of a line of the log."""
    files = (path for folder in MAKERS for path in (PACKAGE / folder).rglob("*.py"))
    return {kind for path in files for kind in _kinds_in(ast.parse(path.read_text("utf-8")))}


def _kinds_in(tree: ast.Module) -> Iterator[str]:
    logged = {id(node.args[0]) for node in ast.walk(tree) if _is_log(node) and isinstance(node, ast.Call) and node.args}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in logged)
    yield from (node.value for node in texts if isinstance(node.value, str) and KIND.fullmatch(node.value))


def _is_log(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"
