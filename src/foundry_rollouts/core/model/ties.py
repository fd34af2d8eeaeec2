"""Policies that name the same agents equally: which of them governs such an agent cannot be said.

Found from the globs alone, so that it is known before such an agent exists.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from foundry_rollouts.core.model.globs import EXACT, exactness
from foundry_rollouts.core.model.policy import Policy

#: How many ties are reported, and how many names are tried for one: a third policy may govern some of them.
MOST, NAMES = 20, 8
#: How many pairs of globs are compared letter by letter.
SEARCHED = 5000
#: What names are made of where globs leave it open.
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-._"
#: No name of an agent is longer.
LONGEST = 63


@dataclass(frozen=True, slots=True)
class Tie:
    """Two policies, the glob of the second that does it, and the name of an agent that both would govern."""

    first: Policy
    second: Policy
    glob: str
    agent: str

    @property
    def because(self) -> str:
        return (
            f"agents such as '{self.agent}' are named by policies {self.first.name} and {self.second.name} equally:"
            " neither rolls their versions out. Make one of the globs longer, or name such agents in full"
        )


def ties(policies: Sequence[Policy]) -> tuple[Tie, ...]:
    """Return the ties between ``policies``, one for each two of them, ``MOST`` at most."""
    found: dict[tuple[str, str], Tie] = {}
    for first, second in islice(_candidates(policies), SEARCHED):
        pair = (policies[first[0]].name, policies[second[0]].name)
        if pair in found:
            continue
        for agent in names_of_both(first[1], second[1]):
            if _is_tied(policies, agent, first[0], second[0]):
                found[pair] = Tie(policies[first[0]], policies[second[0]], second[1], agent)
                break
        if len(found) == MOST:
            break
    return tuple(found.values())


Named = tuple[int, str]  #: The place of a policy, and one of its globs.


def _candidates(policies: Sequence[Policy]) -> Iterator[tuple[Named, Named]]:
    """Yield two globs of different policies that are equally exact, and begin and end alike where they are literal."""
    by_exactness: dict[int, list[tuple[str, str, Named]]] = {}
    for place, policy in enumerate(policies):
        for glob in policy.agents:
            if (prefix := _literal(glob)) != glob:
                by_exactness.setdefault(exactness(glob), []).append((prefix, _tail(glob), (place, glob)))
    for alike in by_exactness.values():
        alike.sort()
        for here, (prefix, tail, one) in enumerate(alike):
            for longer, another, other in alike[here + 1 :]:
                if not longer.startswith(prefix):
                    break
                if one[0] != other[0] and (tail.endswith(another) or another.endswith(tail)):
                    yield (one, other) if one[0] < other[0] else (other, one)


def _literal(glob: str) -> str:
    """Return how a glob begins, up to its first wildcard."""
    return glob[: min((place for each in "*?[" if (place := glob.find(each)) >= 0), default=len(glob))]


def _tail(glob: str) -> str:
    """Return how a glob ends, after its last wildcard."""
    return glob[max(glob.rfind(each) for each in "*?]") + 1 :]


def _is_tied(policies: Sequence[Policy], agent: str, first: int, second: int) -> bool:
    """Whether no policy names ``agent`` more exactly than those two do, which do so equally."""
    most = policies[first].matches(agent)
    if most is None or policies[second].matches(agent) != most:
        return False
    if most >= EXACT:
        return True
    globs = {glob for policy in policies for glob in policy.agents if glob == agent or exactness(glob) > most}
    return not any(glob == agent or fnmatchcase(agent, glob) for glob in globs)


def names_of_both(one: str, other: str) -> Iterator[str]:
    """Yield some of the shortest names that both globs match, ``NAMES`` at most."""
    first, second = _parts(one), _parts(other)
    letters = "".join(dict.fromkeys([*(each for each in one + other if each in LETTERS), *LETTERS]))
    waiting: deque[tuple[int, int, str]] = deque([(0, 0, "")])
    visits: dict[tuple[int, int], int] = {}
    given: set[str] = set()
    while waiting and len(given) < NAMES:
        here, there, name = waiting.popleft()
        visits[here, there] = visits.get((here, there), 0) + 1
        if visits[here, there] > NAMES or len(name) > LONGEST:
            continue
        if (here, there) == (len(first), len(second)):
            if name and name not in given:
                given.add(name)
                yield name
            continue
        waiting.extend(_onward(first, second, (here, there, name), letters))


def _onward(
    first: Sequence[str], second: Sequence[str], state: tuple[int, int, str], letters: str
) -> Iterator[tuple[int, int, str]]:
    """Yield what may follow: a wildcard that ends, or one letter that both globs take."""
    here, there, name = state
    if here < len(first) and first[here] == "*":
        yield here + 1, there, name
    if there < len(second) and second[there] == "*":
        yield here, there + 1, name
    if here == len(first) or there == len(second):
        return
    one, other = first[here], second[there]
    letter = next((each for each in letters if fnmatchcase(each, one) and fnmatchcase(each, other)), None)
    if letter is not None:
        yield here + (one != "*"), there + (other != "*"), name + letter


def _parts(glob: str) -> list[str]:
    """Return a glob in parts that each match one letter, beside ``*``."""
    parts: list[str] = []
    place = 0
    while place < len(glob):
        end = _end_of_set(glob, place) if glob[place] == "[" else place + 1
        part = glob[place:end]
        if part == "[":
            part = "[[]"
        if (part, parts[-1:]) != ("*", ["*"]):
            parts.append(part)
        place = end
    return parts


def _end_of_set(glob: str, place: int) -> int:
    """Return where a set of letters ends that begins there; an open one is a letter, as ``fnmatch`` has it."""
    start = place + 1 + (glob[place + 1 : place + 2] == "!")
    end = glob.find("]", start + 1)
    return end + 1 if end >= 0 else place + 1
