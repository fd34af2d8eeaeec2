"""What an answer must be to be taken for a fact: the schema of each read, as far as its fields decide something.

Members that are not known here are left alone, and what the cloud leaves out legitimately may be missing: the endpoint
of an agent in a list, the ``object`` of anything. A wrong type, another object, or half of one is no answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from foundry_rollouts.errors import NOT_WHOLE, CloudError, Refusal
from foundry_rollouts.foundry import schemas
from foundry_rollouts.untrusted import clean

Object = dict[str, Any]
Fault = Callable[[Any], str | None]  #: What came instead, or what is wrong with it; None when all is well.


@dataclass(frozen=True, slots=True)
class Shape:
    """What a call is answered by, in words, and what would be wrong with another answer."""

    what: str
    fault: Fault
    may_be_empty: bool = False

    def read(self, operation: str, status: int, content_type: str, content: bytes) -> Object:
        """Return the object in ``content``. Raises CloudError unless it is what is wanted, whole."""
        if self.may_be_empty and not content.strip():
            return {}
        try:
            value = strict_json(content)
        except ValueError:
            came = "nothing" if not content.strip() else _not_json(content_type)
            refuse(operation, status, f"{came} instead of {self.what}")
        if not isinstance(value, dict):
            refuse(operation, status, f"{_kind(value)} instead of {self.what}")
        if wrong := self.fault(value):
            refuse(operation, status, wrong)
        return value


def refuse(operation: str, status: int, came: str) -> NoReturn:
    """Raise the error of a call that was answered by something else than what was asked for."""
    raise CloudError(operation, Refusal(None, NOT_WHOLE, f"answered {status} with {came}"))


def strict_json(content: bytes | str) -> Any:
    """Return the JSON value of ``content``. Raises ValueError for what is none, numbers that JSON lacks included."""

    def no_number(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number of JSON")

    try:
        return json.loads(content, parse_constant=no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def agent(name: str, *, is_routed: bool) -> Shape:
    """Return the shape of one agent; with ``is_routed`` it must have its endpoint, too."""

    def fault(value: Object) -> str | None:
        if (wrong := _wrong(schemas.Agent, "agent", value)) or (wrong := _other("agent", name, agent_name(value))):
            return wrong
        return "an agent without its agent_endpoint" if is_routed and not value.get("agent_endpoint") else None

    return Shape(f"agent {name}", fault)


def agent_fault(value: Object) -> str | None:
    """Return what is wrong with an agent of a list; its name is there."""
    return _wrong(schemas.Agent, "agent", value)


def version(agent: str, number: str | None = None) -> Shape:
    """Return the shape of a version of ``agent``: of the one asked for, or of one that was made."""

    def fault(value: Object) -> str | None:
        if (wrong := _wrong(schemas.Version, "agent.version", value)) or (
            number and (wrong := _same_version(value, number))
        ):
            return wrong
        return _other("a version of agent", agent, value["name"]) if value.get("name") else None

    return Shape(f"version {number} of {agent}" if number else f"a version of {agent}", fault)


def _same_version(value: Object, number: str) -> str | None:
    return None if number.startswith("@") else _other("version", number, value["version"])


def session(name: str | None) -> Shape:
    """Return the shape of a session, of that id if one was chosen."""

    def fault(value: Object) -> str | None:
        if wrong := _wrong(schemas.Session, "session", value):
            return wrong
        found = str(value.get("agent_session_id") or value.get("id") or "")
        if not found:
            return "an object that is no session: it has no agent_session_id"
        return _other("session", name, found) if name else None

    return Shape(f"session {name}" if name else "a session", fault)


def page(what: str, item: type[BaseModel] | None = None, name: Callable[[Object], str] | None = None) -> Shape:
    """Return the shape of one page of a list: every item is what the list holds, and has a name."""

    def fault(value: Object) -> str | None:
        if wrong := _wrong(schemas.Page, "list", value, what=f"list of {what}"):
            return wrong
        for place, each in enumerate(value["data"]):
            wrong = _wrong(item, "", each) if item else None
            if wrong or (name is not None and not name(each)):
                return f"a list of {what} whose item {place + 1} is none" + (f": {wrong}" if wrong else "")
        return None

    return Shape(f"a list of {what}", fault)


def agents() -> Shape:
    """Return the shape of a page of agents; what is inside each of them is that one's own matter.

    One without a name says nothing of the others; where none has a name, it is no list of agents.
    """
    whole = page("agents", name=agent_name)

    def fault(value: Object) -> str | None:
        wrong = _wrong(schemas.Page, "list", value, what="list of agents")
        is_named = wrong is None and any(agent_name(each) for each in value["data"])
        return wrong if is_named else whole.fault(value)

    return Shape(whole.what, fault)


def versions() -> Shape:
    return page("versions", schemas.Version)


def sessions() -> Shape:
    return page("sessions", schemas.Session, lambda each: str(each.get("agent_session_id") or each.get("id") or ""))


def files() -> Shape:
    return Shape("a list of files", lambda value: _wrong(schemas.Files, "", value, what="list of files"))


def grants() -> Shape:
    return Shape(
        "a list of role assignments", lambda value: _wrong(schemas.Grants, "", value, what="list of assignments")
    )


def written() -> Shape:
    return Shape("how many bytes were written", lambda value: _wrong(schemas.Written, "", value), may_be_empty=True)


def kept(what: str, name: str | None = None) -> Shape:
    """Return the shape of an object with an id: a conversation, a kept response."""

    def fault(value: Object) -> str | None:
        wrong = _wrong(schemas.Kept, "", value, what=what)
        return wrong or (_other(what, name, value["id"]) if name else None)

    return Shape(f"a {what}", fault)


def answer() -> Shape:
    """Return the shape of what an agent says that was asked for a stream: events, or one response, whole."""

    def fault(value: Object) -> str | None:
        is_response = isinstance(value.get("output"), list) or isinstance(value.get("error"), dict)
        return None if is_response else "an object that is no response instead of a stream of events"

    return Shape("a stream of events", fault)


def done(name: str | None = None) -> Shape:
    """Return the shape of "it is done": nothing, or an object that does not deny it and names nothing else."""

    def fault(value: Object) -> str | None:
        if wrong := _wrong(schemas.Gone, "", value, what="confirmation"):
            return wrong
        if value.get("error") or value.get("deleted") is False:
            return "an object that says it was not done"
        return _other("agent", name, value["name"]) if name and value.get("name") else None

    return Shape("a confirmation", fault, may_be_empty=True)


def agent_name(value: Object) -> str:
    """Return what an agent is called; empty where it does not say so."""
    found = value.get("name") or value.get("id")
    return found if isinstance(found, str) else ""


def _other(what: str, wanted: str, found: str) -> str | None:
    """Return the words for one thing that came instead of another; names differ by more than their capitals."""
    same = found.casefold() == wanted.casefold()
    return None if same else f"{what} {found!r} instead of {wanted!r}" if found else f"{what} without a name"


def _wrong(model: type[BaseModel], kind: str, value: Object, what: str = "") -> str | None:
    """Return what is wrong with ``value`` as an object of that kind; any kind where it names none."""
    what = what or kind.rpartition(".")[2] or model.__name__.lower()
    kind_sent = value.get("object")
    if kind and kind_sent is not None and kind_sent != kind:
        return f"an object {kind_sent!r} that is no {what}"
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"an object that is no {what}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return None


def _not_json(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if not kind or kind.endswith("json"):
        return "JSON that is cut or broken"
    return f"'{clean(kind)[:60]}'"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case list():
            return "a JSON list"
        case str():
            return "a JSON text"
        case _:
            return "a JSON number"
