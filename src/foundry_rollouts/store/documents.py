"""Values of the core as JSON documents, and back.

A field that a later release adds with a default can be read by both releases, in both directions. A field that got a
better name in the code keeps the name that it always had in the database, for the same reason.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import (
    CoreConfig,
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
    to_json,
)

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Intent
from foundry_rollouts.store.sanitize import HISTORY_FIELDS, history_text, plain_json

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
            raise self._unreadable(error) from error

    def _unreadable(self, error: ValidationError) -> StoreError:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return StoreError(
            f"stored {self._kind} cannot be read at {where or 'its root'}: {first['msg']};"
            " was it written by another release?"
        )


class TickedDocument(Document[T]):
    """Values that each tick reads and writes: the same documents, without a walk through them in Python.

    The names of the database, and what words may be kept, are part of the schema that pydantic compiles. It is for
    types that hold nothing of any shape, where a name may be anything.
    """

    def __init__(self, kind: str, adapter: TypeAdapter[tuple[T]], besides: str | None = None) -> None:
        """Leave out the field ``besides``, which is written elsewhere."""
        super().__init__(kind, adapter)
        schema = _with_stored_names(adapter.core_schema)
        self._besides = {0: {besides}} if besides else None
        self._writer = SchemaSerializer(schema, _CORE_CONFIG)
        self._reader = SchemaValidator(schema, _CORE_CONFIG)

    def text(self, value: T) -> str:
        """Return ``value`` as the text of the JSON object that ``write`` returns, but for what is left out."""
        try:
            text = self._writer.to_json((value,), by_alias=True, exclude=cast("Any", self._besides)).decode()
        except PydanticSerializationError:  # Half of a surrogate pair is no text.
            return self._slow(value)
        # What no database keeps, or JSON has no word for; a text that merely looks like it does no harm.
        return self._slow(value) if any(word in text for word in _NOT_KEPT) else text[1:-1]

    def read(self, document: Any) -> T:
        """Return the value of a JSON object; raises StoreError when it is none of ours."""
        return self._read(self._reader.validate_python, (document,))

    def read_text(self, text: str) -> T:
        """Return the value of the text of a JSON object; raises StoreError when it is none of ours."""
        return self._read(self._reader.validate_json, f"[{text}]")

    def _read(self, how: Callable[..., tuple[T]], document: Any) -> T:
        try:
            return how(document, by_alias=True, by_name=True)[0]
        except ValidationError as error:
            raise self._unreadable(error) from error

    def _slow(self, value: T) -> str:
        left_out = self._besides[0] if self._besides else ()
        return to_json({name: each for name, each in self.write(value).items() if name not in left_out}).decode()


_CORE_CONFIG = CoreConfig(ser_json_inf_nan="constants")
_NOT_KEPT = ("\\u0000", "Infinity", "NaN")


def _with_stored_names(schema: Any) -> Any:
    """Return a schema of pydantic's in which each field is called as in the database and tells what may be kept."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_stored_names, schema))
    if not isinstance(schema, dict):
        return schema
    changed = {key: each if key == "metadata" else _with_stored_names(each) for key, each in schema.items()}
    name = schema.get("name") if schema.get("type") == "dataclass-field" else None
    if name in STORED_AS:
        changed |= dict.fromkeys(("validation_alias", "serialization_alias"), STORED_AS[name])
    if name in HISTORY_FIELDS:
        kept = core_schema.wrap_serializer_function_ser_schema(_kept)
        changed["schema"] = {**changed["schema"], "serialization": kept}
    return changed


def _kept(value: Any, written: Callable[[Any], Any]) -> Any:
    return history_text(written(value)) if value else written(value)


# A dataclass takes no configuration from outside; a tuple around it does.
ROLLOUT = TickedDocument("rollout", TypeAdapter(tuple[Rollout], config=_CONFIG), besides="policy")
POLICY = Document("policy", TypeAdapter(tuple[Policy], config=_CONFIG))
EVIDENCE = TickedDocument("evidence", TypeAdapter(tuple[Evidence], config=_CONFIG))
MEASUREMENT = TickedDocument("measurement", TypeAdapter(tuple[Measurement], config=_CONFIG))
ROUTING = Document("routing", TypeAdapter(tuple[Routing], config=_CONFIG))
MARKS = Document("marks", TypeAdapter(tuple[Marks], config=_CONFIG))
INTENT = Document("intent", TypeAdapter(tuple[Intent], config=_CONFIG))


@lru_cache(maxsize=256)
def policy_of(text: str) -> Policy:
    """Return the policy that ``text`` holds as JSON. A few policies govern all rollouts: each text is read once."""
    return POLICY.read(json.loads(text))
