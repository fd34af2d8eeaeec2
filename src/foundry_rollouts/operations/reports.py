"""One call as its caller tells it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.model.failures import MODEL_LIMIT, cause_of, names_model_limit


@dataclass(frozen=True, slots=True)
class Report:
    """One call as its caller tells it: ``is_ok``, or the HTTP status, or both."""

    id: str
    agent: str
    version: str
    at: datetime
    is_ok: bool | None = None
    status: int | None = None
    latency: timedelta | None = None
    session: str | None = None
    has_log_error: bool = False
    error: str | None = None  #: The error code of the answer, or its words.

    @property
    def cause(self) -> str | None:
        """Why the call failed; None: it did well. What the caller says outweighs the status."""
        status = self.status or 200
        is_ok = self.is_ok if self.is_ok is not None else cause_of(status) is None
        if is_ok:
            return None
        if self.error is not None and names_model_limit(self.error):
            return MODEL_LIMIT
        return f"HTTP {status}" if status >= 400 else "reported as failed"
