"""The audit log, as people read it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from foundry_rollouts.core.model.audit import AuditEntry, AuditFilter, AuditOutcome
from foundry_rollouts.ports import AuditLog

__all__ = ["AuditEntry", "AuditFilter", "AuditOutcome", "AuditPage", "audit_page", "every_entry", "note"]

PAGE = 500  #: Entries that are read at once.


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, newest first; ``next`` names where the following page begins, None on the last one."""

    items: tuple[AuditEntry, ...]
    next: str | None


async def note(store: AuditLog, entry: AuditEntry) -> None:
    """Write ``entry`` down. Raises StoreError."""
    await store.append_audit(entry)


async def audit_page(store: AuditLog, which: AuditFilter) -> AuditPage:
    """Return one page of the audit log. Raises NotFoundError when it is to begin after an unknown entry."""
    found = await store.audit(replace(which, limit=which.limit + 1))
    items = tuple(found[: which.limit])
    return AuditPage(items, items[-1].id if len(found) > which.limit else None)


async def every_entry(store: AuditLog, which: AuditFilter, most: int) -> AsyncIterator[AuditEntry]:
    """Yield at most so many entries, newest first, however many pages they take."""
    which = replace(which, limit=min(PAGE, most))
    left = most
    while left > 0:
        page = await audit_page(store, which)
        for entry in page.items[:left]:
            yield entry
        left -= len(page.items)
        if page.next is None:
            return
        which = replace(which, before=page.next)
