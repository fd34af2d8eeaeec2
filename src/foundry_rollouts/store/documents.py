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

    _is_brief = False

    def __init__(self, kind: str, adapter: TypeAdapter[tuple[T]], besides: str | None = None) -> None:
        """Leave out the field ``besides``, which is written elsewhere."""
        super().__init__(kind, adapter)
        schema = _with_stored_names(adapter.core_schema)
        self._besides: Any = {0: {besides}} if besides else None
        self._writer = SchemaSerializer(_with_words_kept(schema), _CORE_CONFIG)
        self._reader = SchemaValidator(schema, _CORE_CONFIG)

    def text(self, value: T) -> str:
        """Return ``value`` as the text of the JSON object that ``write`` returns, but for what is left out."""
        try:
            text = self._writer.to_json(
                (value,), by_alias=True, exclude=self._besides, exclude_defaults=self._is_brief
            ).decode()
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


class BriefDocument(TickedDocument[T]):
    """Values that are mostly zeros, written without them: what is left out is 0 or nothing to every release."""

    _is_brief = True

    def write(self, value: T) -> dict[str, Any]:
        """Return ``value`` as a JSON object."""
        document = self._writer.to_python((value,), mode="json", exclude_defaults=True)[0]
        return cast("dict[str, Any]", plain_json(document, STORED_AS))


_CORE_CONFIG = CoreConfig(ser_json_inf_nan="constants")
_NOT_KEPT = ("\\u0000", "Infinity", "NaN")


def _with_stored_names(schema: Any) -> Any:
    """Return a schema of pydantic's in which each field is called as in the database."""
    return _changed(schema, _named)


def _with_words_kept(schema: Any) -> Any:
    """Return a schema of pydantic's that writes words as they may be kept.

    A field made by a function has no default there: values that are equal may differ in what is not compared.
    """
    return _changed(schema, _keeping)


def _changed(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a schema with a change made to each field of a dataclass."""
    if isinstance(schema, list | tuple):
        return type(schema)(_changed(each, change) for each in schema)
    if not isinstance(schema, dict):
        return schema
    made = {key: each if key == "metadata" else _changed(each, change) for key, each in schema.items()}
    return change(made) if schema.get("type") == "dataclass-field" else made


def _named(field: dict[str, Any]) -> dict[str, Any]:
    stored = STORED_AS.get(field["name"])
    return {**field, "validation_alias": stored, "serialization_alias": stored} if stored else field


def _keeping(field: dict[str, Any]) -> dict[str, Any]:
    inner = field["schema"]
    if "default_factory" in inner:
        return {**field, "schema": inner["schema"]}
    if field["name"] not in HISTORY_FIELDS:
        return field
    kept = {"serialization": core_schema.wrap_serializer_function_ser_schema(_kept)}
    return {**field, "schema": {**inner, "schema": {**inner["schema"], **kept}} if "default" in inner else inner | kept}


def _kept(value: Any, written: Callable[[Any], Any]) -> Any:
    return history_text(written(value)) if value else written(value)


# A dataclass takes no configuration from outside; a tuple around it does.
ROLLOUT = TickedDocument("rollout", TypeAdapter(tuple[Rollout], config=_CONFIG), besides="policy")
POLICY = Document("policy", TypeAdapter(tuple[Policy], config=_CONFIG))
EVIDENCE = TickedDocument("evidence", TypeAdapter(tuple[Evidence], config=_CONFIG))
MEASUREMENT = BriefDocument("measurement", TypeAdapter(tuple[Measurement], config=_CONFIG))
ROUTING = TickedDocument("routing", TypeAdapter(tuple[Routing], config=_CONFIG))
MARKS = TickedDocument("marks", TypeAdapter(tuple[Marks], config=_CONFIG))
INTENT = Document("intent", TypeAdapter(tuple[Intent], config=_CONFIG))


@lru_cache(maxsize=256)
def policy_of(text: str) -> Policy:
    """Return the policy that ``text`` holds as JSON. A few policies govern all rollouts: each text is read once."""
    return POLICY.read(json.loads(text))
