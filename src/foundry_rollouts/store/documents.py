"""Values of the core as JSON documents, and back.

A field that a later release adds with a default can be read by both releases, in both directions.
"""

from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from foundry_rollouts.core.evidence import Evidence
from foundry_rollouts.core.measurement import Measurement
from foundry_rollouts.core.policy import Policy
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.routing import Routing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Intent

T = TypeVar("T")

# Infinity is a legitimate amount of evidence; by default it would be written as null and could not be read again.
_CONFIG = ConfigDict(ser_json_inf_nan="strings")


class Document(Generic[T]):
    """How values of one type are written and read."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind.__name__.lower()
        # A dataclass takes no configuration from outside; a tuple around it does.
        self._adapter: TypeAdapter[tuple[T]] = TypeAdapter(tuple[kind], config=_CONFIG)  # type: ignore[valid-type]

    def write(self, value: T) -> dict[str, Any]:
        """Return ``value`` as a JSON object."""
        document: dict[str, Any] = self._adapter.dump_python((value,), mode="json")[0]
        return document

    def read(self, document: Any) -> T:
        """Return the value of a JSON object; raises StoreError when it is none of ours."""
        try:
            return self._adapter.validate_python((document,))[0]
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            raise StoreError(
                f"a stored {self._kind} cannot be read at {where or 'its root'}: {first['msg']};"
                " was it written by another release?"
            ) from error


ROLLOUT = Document(Rollout)
POLICY = Document(Policy)
EVIDENCE = Document(Evidence)
MEASUREMENT = Document(Measurement)
ROUTING = Document(Routing)
INTENT = Document(Intent)
