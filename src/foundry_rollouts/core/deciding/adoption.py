"""Which version is the stable one where weights are found that no rollout of ours set.

Only versions that the routing names can become stable: what ``@latest`` serves was chosen by nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from foundry_rollouts.core.model.effects import OnAdoption
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing


@dataclass(frozen=True, slots=True)
class Adoption:
    """The stable version from now on, the weights that the endpoint gets, and why."""

    stable: str
    target: Routing
    because: str

    @property
    def is_kept(self) -> bool:
        """Whether other versions keep a part of the traffic."""
        return self.target.weights != Routing.of({self.stable: 100}).weights


def at_first_sight(seen: Routing, served_by_latest: str | None, on_adoption: OnAdoption) -> Adoption | None:
    """Return what becomes of an agent that we see for the first time; None while no version serves it.

    No version but the stable one gets more traffic than it was found with.
    """
    named = {version: weight for version, weight in seen.weights if version != LATEST}
    if not named:
        return _following_latest(seen, served_by_latest) if seen.weights else None
    stable = heaviest(named)
    weights = dict(named)
    if unnamed := seen.weight(LATEST):
        resolved = served_by_latest or stable
        weights[resolved] = weights.get(resolved, 0) + unnamed
    found = Routing.of(weights, is_open=seen.is_open)
    because = f"version {stable} is the stable version from now on: "
    if len(named) > 1:
        because += f"the endpoint served {seen}, and it is the heaviest of those named"
    else:
        because += "it serves" if seen.is_pinned else f"the endpoint served {seen}, and no other version is named"
    if not seen.is_pinned:
        because += f"; the endpoint no longer follows {LATEST}, which served version {served_by_latest or 'none'}"
    if found.weight(stable) == 100:
        return Adoption(stable, found, because)
    others = _listed(version for version in weights if version != stable)
    if on_adoption is OnAdoption.STABLE:
        alone = Routing.of({stable: 100}, is_open=seen.is_open)
        return Adoption(stable, alone, f"{because}; all new sessions go to it, none to {others}, as on-adoption says")
    return Adoption(
        stable,
        found,
        f"{because}; the weights stay until a rollout begins. Nothing of ours tried {others}",
    )


def _following_latest(seen: Routing, served: str | None) -> Adoption | None:
    if served is None:
        return None
    because = f"version {served} serves; it is the stable version from now on, and the endpoint no longer follows"
    return Adoption(served, Routing.of({served: 100}, is_open=seen.is_open), f"{because} {LATEST}")


def heaviest(weights: Mapping[str, int], present: str | None = None, stood: Sequence[str] = ()) -> str:
    """Return the version with most traffic, one of those named.

    Among equals it is the present stable version, else the first in ``stood`` (which stood a trial, the newest first),
    else the older one.
    """
    most = max(weights.values())
    equal = [version for version, weight in weights.items() if weight == most]
    preferred = [version for version in (present, *stood) if version in equal]
    return next(iter(preferred), None) or min(equal, key=_age)


def adopted(seen: Routing, present: str | None, trials: Sequence[Rollout]) -> str | None:
    """Return the version that is stable once the routing is adopted; None where it names none.

    ``trials`` are the last rollouts of the agent, newest first.
    """
    named = {version: weight for version, weight in seen.weights if version != LATEST}
    return heaviest(named, present, _promoted(trials)) if named else None


def stood_trial(version: str, trials: Sequence[Rollout]) -> bool:
    """Return whether ``version`` was promoted by the last of its ``trials``, which are the newest first."""
    last = next((trial for trial in trials if trial.canary == version), None)
    return last is not None and last.phase is Phase.PROMOTED


def _promoted(trials: Sequence[Rollout]) -> list[str]:
    return [trial.canary for trial in trials if trial.phase is Phase.PROMOTED]


def _age(version: str) -> tuple[int, str]:
    """Order versions by number; one that has none counts as the newest."""
    return (int(version), version) if version.isascii() and version.isdigit() else (10**18, version)


def _listed(versions: Iterable[str]) -> str:
    names = sorted(versions, key=_age)
    return ("version " if len(names) == 1 else "versions ") + ", ".join(names)
