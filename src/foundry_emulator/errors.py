"""What can go wrong: the emulator's own failures, and the cloud's error envelopes.

``FoundryError`` is what a route raises; it becomes the cloud's ``ApiErrorResponse``. The constructors below it are the
refusals more than one route needs, so that each has one wording.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RESPONSE_DETAILS = "x-adc-response-details"
_BUILD_HELP = "https://aka.ms/hosted-agents-build-errors"


class EmulatorError(Exception):
    """The emulator itself cannot run; the text is one sentence for a person."""


class BuildError(Exception):
    """A version cannot be built; ``code`` and the text become its ``error``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def view(self) -> dict[str, Any]:
        """Return the ``error`` object of the failed version."""
        return {"code": self.code, "message": str(self), "details": None}


def build_failed(line: str, exit_code: int | None = 1) -> BuildError:
    """Return the error of a failed build as the cloud words it: its last line, its exit code, where to read on."""
    return BuildError("CodeError", f"{line} (exit code {exit_code}). See {_BUILD_HELP}")


@dataclass(eq=False)
class FoundryError(Exception):
    """A refusal in the cloud's words."""

    status: int
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the refusal in one line, for traces."""
        return f"{self.status} {self.code}: {self.message}"

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body: ``{"error": {code, message, param, type, details, additionalInfo, debugInfo}}``."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "type": kind,
                "details": [],
                "additionalInfo": {"request_id": request_id},
                "debugInfo": {},
            }
        }


def invalid(message: str, param: str | None = None, code: str = "invalid_request_error") -> FoundryError:
    """Return a 400: the request itself is wrong."""
    return FoundryError(400, code, message, param)


def not_found(message: str, param: str | None = None) -> FoundryError:
    """Return a 404 with the code clients use to decide between create and update."""
    return FoundryError(404, "not_found", message, param)


def conflict(message: str, code: str = "conflict") -> FoundryError:
    """Return a 409: the request is right but the state of things forbids it."""
    return FoundryError(409, code, message)


def agent_disabled(agent: str) -> FoundryError:
    """Return the 403 of every use of a disabled agent."""
    return FoundryError(403, "agent_disabled", f"Agent '{agent}' is disabled.")


def session_not_found(session_id: str) -> FoundryError:
    """Return the 404 of a session that is unknown, deleted or expired."""
    details = {RESPONSE_DETAILS: "SandboxNotFound"}
    return FoundryError(404, "not_found", f"Session '{session_id}' not found", headers=details)


def response_not_found(response_id: str) -> FoundryError:
    """Return the 404 of a response that is unknown, deleted or another agent's."""
    return FoundryError(404, "invalid_request_error", f"Response '{response_id}' not found.", "response_id")
