"""Role assignments: which principal has which role at which scope, as the resource manager keeps them."""

import re
from dataclasses import asdict, dataclass

from foundry_emulator.errors import FoundryError
from foundry_emulator.snapshot import Snapshot

ROLES = {
    "53ca6127-db72-4b80-b1b0-d745d6d5456d": "Foundry User",
    "64702f94-c441-49e6-a78b-ef80e0188fee": "Azure AI Developer",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "eadc314b-1a2d-4efa-be10-5d325db5065e": "Foundry Project Manager",
    "c883944f-8b7b-4483-af10-35834be79c4a": "Foundry Owner",
    "e47c6f54-e4a2-4754-9501-8e0985b135e1": "Foundry Account Owner",
    "eed3b665-ab3a-47b6-8f48-c9382fb1dad6": "Foundry Agent Consumer",
    "a97b65f3-24c7-4388-baec-2e87135dc908": "Cognitive Services User",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
}
#: One condition of a filter; they are joined by ``and``. Names compare without case.
_CONDITION = re.compile(
    r"(?P<scope>atScope)\(\)|principalId eq '(?P<principal>[0-9A-Fa-f-]{36})'"
    r"|assignedTo\('(?P<assignee>[0-9A-Fa-f-]{36})'\)|roleName eq '(?P<role>(?:[^']|'')+)'|type eq '(?P<type>\w+)'",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is asked for; None where it does not matter."""

    at_scope: bool = False  #: Only what is assigned at the scope or above it.
    principal: str | None = None
    role: str | None = None
    kind: str | None = None


def filter_of(text: str | None) -> Filter:
    """Read a ``$filter``, or raise the 400 for one that is not understood."""
    found: dict[str, str] = {}
    for part in re.split(r" and ", text, flags=re.IGNORECASE) if text else []:
        match = _CONDITION.fullmatch(part.strip())
        if match is None:
            raise FoundryError(400, "BadRequestFormat", f"The filter '{text}' is not supported.")
        found |= {name: value.lower() for name, value in match.groupdict().items() if value}
    return Filter(
        at_scope="scope" in found,
        principal=found.get("principal") or found.get("assignee"),
        role=found["role"].replace("''", "'") if "role" in found else None,
        kind=found.get("type"),
    )


def subscription_of(scope: str) -> str | None:
    """Return the subscription in a resource id, or None."""
    parts = scope.lower().split("/")
    return parts[2] if parts[1:2] == ["subscriptions"] and len(parts) > 2 else None


@dataclass(frozen=True, slots=True)
class Assignment:
    """One role of one principal at one scope; the scope is a resource id without a trailing slash."""

    scope: str
    name: str
    role: str
    principal: str
    principal_type: str
    description: str | None = None

    def says_the_same_as(self, other: "Assignment") -> bool:
        """Tell whether both grant the same role to the same principal at the same scope."""
        return (self.scope.lower(), self.role, self.principal) == (other.scope.lower(), other.role, other.principal)


class Assignments:
    """All role assignments, in memory and in the snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known: dict[tuple[str, str], Assignment] = {}

    def load(self) -> None:
        """Read what an earlier run left."""
        for document in self._snapshot.documents("role"):
            assignment = Assignment(**document)
            self._known[_key(assignment.scope, assignment.name)] = assignment

    def clear(self) -> None:
        """Forget them all; the snapshot is cleared by its owner."""
        self._known.clear()

    def assignment(self, scope: str, name: str) -> Assignment | None:
        """Return one assignment, or None."""
        return self._known.get(_key(scope, name))

    def put(self, assignment: Assignment) -> bool:
        """Keep an assignment and tell whether it is new; another name for the same grant is the cloud's 409."""
        earlier = self.assignment(assignment.scope, assignment.name)
        if earlier is not None:
            if earlier.says_the_same_as(assignment):
                return False
            message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            raise FoundryError(409, "RoleAssignmentUpdateNotPermitted", message)
        if any(each.says_the_same_as(assignment) for each in self._known.values()):
            raise FoundryError(409, "RoleAssignmentExists", "The role assignment already exists.")
        key = _key(assignment.scope, assignment.name)
        self._known[key] = assignment
        self._snapshot.write("role", key, asdict(assignment))
        return True

    def drop(self, assignment: Assignment) -> None:
        """Forget one assignment."""
        key = _key(assignment.scope, assignment.name)
        del self._known[key]
        self._snapshot.erase("role", key)

    def listed(self, scope: str, condition: str | None) -> list[Assignment]:
        """Return the assignments that a list at this scope shows.

        ``atScope()`` shows the scope and those above it; without it those below are shown too.
        """
        wanted = filter_of(condition)
        return [
            each
            for each in self._known.values()
            if wanted.principal in (None, each.principal)
            and (_is_within(scope, each.scope) or (not wanted.at_scope and _is_within(each.scope, scope)))
        ]

    def scopes(self) -> list[str]:
        """Return where roles are assigned."""
        return [each.scope for each in self._known.values()]


def _key(scope: str, name: str) -> tuple[str, str]:
    return scope.lower(), name.lower()


def _is_within(scope: str, outer: str) -> bool:
    return f"{scope}/".lower().startswith(f"{outer}/".lower())
