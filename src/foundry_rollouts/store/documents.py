"""Values of the core as JSON documents, and back.

A field that a later release adds with a default can be read by both releases, in both directions. A field that got a
better name in the code keeps the name that it always had in the database, for the same reason.
"""

import json
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Intent
from foundry_rollouts.store.sanitize import plain_json

T = TypeVar("T")

# Left alone, pydantic writes infinity, a legitimate amount of evidence, as null, and could not read that again.
_CONFIG = ConfigDict(ser_json_inf_nan="constants")


#: What a field is called in the database, by what the code calls it. Each name is used by one type only.
STORED_AS = {
    "prior_counts": "history",
    "event_count": "events",
    "unconfirmed_changes": "unanswered",
    "is_revert": "is_return",
    "ceiling": "floor",
}
_NAMED = {stored: name for name, stored in STORED_AS.items()}
_HOLDERS = frozenset({dict, list})


def _renamed(value: Any) -> Any:
    """Return what was read from the database with the names of the code."""
    # Most values hold nothing: a page of rollouts has ten thousands of them, and each call would cost.
    if type(value) is dict:
        return {_NAMED.get(key, key): _renamed(each) if type(each) in _HOLDERS else each for key, each in value.items()}
    return [_renamed(each) if type(each) in _HOLDERS else each for each in value]


class Document(Generic[T]):
    """How values of one type are written and read."""

    def __init__(self, kind: str, adapter: TypeAdapter[tuple[T]]) -> None:
        self._kind = kind
        self._adapter = adapter

    def write(self, value: T) -> dict[str, Any]:
        """Return ``value`` as a JSON object."""
        return cast("dict[str, Any]", plain_json(self._adapter.dump_python((value,), mode="json")[0], STORED_AS))

    def read(self, document: Any) -> T:
        """Return the value of a JSON object; raises StoreError when it is none of ours."""
        try:
            return self._adapter.validate_python((_renamed(document) if type(document) in _HOLDERS else document,))[0]
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            raise StoreError(
                f"stored {self._kind} cannot be read at {where or 'its root'}: {first['msg']};"
                " was it written by another release?"
            ) from error


# A dataclass takes no configuration from outside; a tuple around it does.
ROLLOUT = Document("rollout", TypeAdapter(tuple[Rollout], config=_CONFIG))
POLICY = Document("policy", TypeAdapter(tuple[Policy], config=_CONFIG))
EVIDENCE = Document("evidence", TypeAdapter(tuple[Evidence], config=_CONFIG))
MEASUREMENT = Document("measurement", TypeAdapter(tuple[Measurement], config=_CONFIG))
ROUTING = Document("routing", TypeAdapter(tuple[Routing], config=_CONFIG))
MARKS = Document("marks", TypeAdapter(tuple[Marks], config=_CONFIG))
INTENT = Document("intent", TypeAdapter(tuple[Intent], config=_CONFIG))


@lru_cache(maxsize=256)
def policy_of(text: str) -> Policy:
    """Return the policy that ``text`` holds as JSON. A few policies govern all rollouts: each text is read once."""
    return POLICY.read(json.loads(text))
