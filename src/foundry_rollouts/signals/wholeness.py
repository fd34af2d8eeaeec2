"""Whether a JSON answer says of itself that it is not whole: what a part of the stores says is no evidence."""

from collections.abc import Mapping
from typing import Any

#: Members that say so when they are true: VictoriaMetrics, InfluxDB, Elasticsearch.
FLAGS = ("isPartial", "is_partial", "partial", "timed_out")
LONGEST = 200


def flaw_of(answer: Any) -> str | None:
    """Return why ``answer`` is not to be counted, in the server's words; None when it claims nothing of the kind."""
    if not isinstance(answer, Mapping):
        return None
    if said := _error(answer):
        return f"answers with an error: {said}"
    if said := _warning(answer) or _flag(answer):
        return f"answers in part only: {said}"
    return None


def _error(answer: Mapping[str, Any]) -> str | None:
    """Return the error beside a good status; GraphQL tells a list of them beside the data."""
    error, errors = answer.get("error"), answer.get("errors")
    if isinstance(error, str) and error:
        return _clean(error)
    if answer.get("status") == "error":
        return "it says status error, and no more"
    if isinstance(errors, list) and errors and "data" in answer:
        return _clean(str(errors[0].get("message")) if isinstance(errors[0], dict) else str(errors[0]))
    return None


def _warning(answer: Mapping[str, Any]) -> str | None:
    """Return the first warning, or the note that something was left out; other notes are advice on the query."""
    warnings, infos = answer.get("warnings"), answer.get("infos")
    if isinstance(warnings, str):
        return _clean(warnings) or None
    said = [_clean(str(each)) for each in warnings or ()] if isinstance(warnings, list) else []
    said += [_clean(each) for each in infos if "ignored" in str(each)] if isinstance(infos, list) else []
    if not said:
        return None
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return f"{said[0]}{more}"


def _flag(answer: Mapping[str, Any]) -> str | None:
    for flag in FLAGS:
        if answer.get(flag) is True:
            return f"it says {flag}"
    shards = answer.get("_shards")
    failed = shards.get("failed") if isinstance(shards, Mapping) else None
    return f"{failed} shards failed" if isinstance(failed, int) and failed > 0 else None


def _clean(text: Any) -> str:
    """Return ``text`` on one line, without what a terminal would obey, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
