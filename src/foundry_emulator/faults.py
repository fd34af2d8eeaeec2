"""Faults that the control API plants: which operation fails, how, and how often."""

import random
from dataclasses import dataclass, field, replace

from foundry_emulator.ids import guid


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault; times are emulated seconds, but ``latency_ms`` is real.

    Without ``status`` and ``is_dropped`` the call is only slow. ``is_applied`` carries the change out although the
    caller learns of a failure; ``apply_after`` carries it out later than the answer. ``times`` counts down; with
    None the fault stays until it is lifted.
    """

    operation: str
    status: int | None = None
    code: str = "server_error"
    message: str = "Injected by the emulator."
    retry_after: float | None = None
    retry_after_ms: float | None = None
    details: str | None = None
    latency_ms: float = 0.0
    is_dropped: bool = False
    is_applied: bool = False
    apply_after: float | None = None
    agent: str | None = None
    rate: float = 1.0
    times: int | None = None
    id: str = field(default_factory=guid)

    def concerns(self, operation: str, agent: str | None) -> bool:
        """Tell whether a call of this operation on this agent may be hit; ``*`` is every operation."""
        is_named = self.operation in ("*", operation) or (
            self.operation.endswith(".*") and operation.startswith(self.operation[:-1])
        )
        return is_named and self.agent in (None, agent)


class FaultBook:
    """The faults in force, oldest first."""

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source
        self._faults: list[Fault] = []

    def plant(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._faults.append(fault)

    def all(self) -> list[Fault]:
        """Return the faults in force."""
        return list(self._faults)

    def lift(self, fault_id: str) -> bool:
        """Take one fault out of force; False when there is none of this id."""
        before = len(self._faults)
        self._faults = [fault for fault in self._faults if fault.id != fault_id]
        return len(self._faults) < before

    def clear(self) -> None:
        """Take every fault out of force."""
        self._faults.clear()

    def strike(self, operation: str, agent: str | None) -> Fault | None:
        """Return the fault that hits this call and count it down, or None."""
        for index, fault in enumerate(self._faults):
            if fault.concerns(operation, agent) and (fault.rate >= 1 or self._random.random() < fault.rate):
                self._count_down(index, fault)
                return fault
        return None

    def _count_down(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times <= 1:
            del self._faults[index]
        else:
            self._faults[index] = replace(fault, times=fault.times - 1)
