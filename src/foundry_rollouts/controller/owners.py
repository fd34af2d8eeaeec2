"""Who tries to take an agent: its owner, the live replica with the highest hash of replica and agent.

A replica that joins takes its own share and nothing else moves; one that leaves loses its share to all others. Leases
decide, ownership only says who tries: replicas that disagree for a moment do no harm.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b


def owner_of(agent: str, replicas: Collection[str]) -> str | None:
    """Return the owner of ``agent`` among ``replicas``; None where there is none."""
    return max(replicas, key=lambda replica: (_rank(replica, agent), replica), default=None)


def _rank(replica: str, agent: str) -> bytes:
    return blake2b(agent.encode("utf-8", "surrogatepass"), digest_size=8, key=_key(replica)).digest()


@lru_cache(maxsize=256)
def _key(replica: str) -> bytes:
    """Return the key of a replica's hashes: its name may be longer than a key may be."""
    return blake2b(replica.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Owners:
    """The live replicas as one of them knows them; each owner is computed once."""

    replica: str
    live: frozenset[str] = frozenset()  #: Empty: not known, and everybody may take everything.
    _known: dict[str, str | None] = field(default_factory=dict, compare=False)

    @property
    def is_known(self) -> bool:
        """Whether the live replicas are known."""
        return bool(self.live)

    def is_ours(self, agent: str, but: str | None = None) -> bool:
        """Whether this replica is to try; ``but`` let the agent's lease run out, so that it is as good as dead."""
        if not self.live:
            return True
        if but is not None and but in self.live:
            return owner_of(agent, self.live - {but} or self.live) == self.replica
        if agent not in self._known:
            self._known[agent] = owner_of(agent, self.live)
        return self._known[agent] == self.replica
