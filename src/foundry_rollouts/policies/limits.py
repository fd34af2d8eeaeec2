"""How many rollouts may be under way at once, as ``FOUNDRY_ROLLOUTS_LIMITS`` says it: a TOML file, JSON, or a table.

A file is read again when it changes. A broken one gives a line for each mistake and never replaces the last good one.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.policies.given import text_of

#: What a label may be called, here and in a policy.
LABEL_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
_LABEL = re.compile(LABEL_PATTERN)
_FORM = 'at-once = {project = 5, labels = {payments = 2}} or waves = ["ring-0", "ring-1"]'
#: How often it is asked at most whether the file has changed, in seconds.
AGAIN = 1.0


class GivenLimits(NamedTuple):
    """The limits, and the file that they stand in; without one they hold until the end of the process."""

    limits: Limits = Limits()
    path: Path | None = None


def given_limits(given: object) -> GivenLimits:
    """Return what the setting says. Raises ValueError, a line for each mistake."""
    is_path = isinstance(given, str) and not given.strip().startswith(("{", "["))
    return GivenLimits(limits_of(given), Path(str(given).strip()) if is_path else None)


def limits_of(given: object) -> Limits:
    """Return the limits of a path, of JSON or of a table. Raises ValueError, a line for each mistake."""
    written = _written(given) if isinstance(given, str | Path) else given
    if not isinstance(written, Mapping):
        raise ValueError(f"this is no table of limits: write {_FORM}")  # noqa: TRY004 - pydantic asks for it
    problems = list(_unknown("", written, ("at-once", "waves")))
    project, labels = _at_once(written.get("at-once"), problems)
    waves = _waves(written.get("waves"), problems)
    if problems:
        raise ValueError("\n".join(problems))
    return Limits(project, labels, waves)


def _written(given: str | Path) -> object:
    text = str(given).strip()
    try:
        return json.loads(text) if text.startswith(("{", "[")) else tomllib.loads(text_of(Path(text)))
    except json.JSONDecodeError as error:
        raise ValueError(f"cannot be read as JSON at line {error.lineno}, column {error.colno}: fix it there") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{text!r} is not TOML, {error}: fix that line") from None
    except RecursionError:
        raise ValueError(f"this is no table of limits: write {_FORM}") from None


def _at_once(given: object, problems: list[str]) -> tuple[int | None, tuple[tuple[str, int], ...]]:
    if given is None:
        return None, ()
    if not isinstance(given, Mapping):
        return _number("at-once", given, problems), ()
    problems += _unknown("at-once: ", given, ("project", "labels"))
    project = _number("at-once: project", given["project"], problems) if "project" in given else None
    labels = given.get("labels", {})
    if not isinstance(labels, Mapping):
        problems.append("at-once: labels: this is no table: write labels = {payments = 2}")
        return project, ()
    found = []
    for label, most in labels.items():
        where = f"at-once: labels: {label!s}"
        problems += _bad_label(where, label)
        found.append((str(label), _number(where, most, problems) or 1))
    return project, tuple(found)


def _number(where: str, given: object, problems: list[str]) -> int | None:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    problems.append(f"{where}: {given!r} is no number of rollouts: write a whole number, at least 1")
    return None


def _waves(given: object, problems: list[str]) -> tuple[tuple[str, ...], ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        problems.append('waves: this is no list: write waves = ["ring-0", "ring-1"]')
        return ()
    waves = [each if isinstance(each, list) else [each] for each in given]
    seen: set[str] = set()
    for number, wave in enumerate(waves, start=1):
        if not wave:
            problems.append(f"waves: wave {number} has no label: name one, or take the wave out")
        for label in wave:
            problems += _bad_label(f"waves: wave {number}", label)
            if str(label) in seen:
                problems.append(f"waves: wave {number}: {label!s} is in two places: keep one of them")
            seen.add(str(label))
    return tuple(tuple(str(label) for label in wave) for wave in waves)


def _bad_label(where: str, label: object) -> Iterator[str]:
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        yield f"{where}: {label!r} is no label: write letters, digits, '.', '_' and '-', at most 63"


def _unknown(where: str, given: Mapping[object, object], known: Sequence[str]) -> Iterator[str]:
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            how = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            yield f"{where}{str(key)!r} is no limit: {how}"


@dataclass(slots=True)
class LimitsInForce:
    """The limits in force; satisfies ``ports.LimitsKnown``. ``path`` None: they never change."""

    limits: Limits
    path: Path | None = None
    elapsed: Callable[[], float] = lambda: 0.0
    problems: tuple[str, ...] = ()
    _asked_at: float | None = None
    _mark: tuple[int, int] | None = field(default=None)

    def __post_init__(self) -> None:
        self._mark = _mark_of(self.path) if self.path else None

    def now(self) -> Limits:
        """Return the limits, read again where the file has changed."""
        if self.path is None or (self._asked_at is not None and self.elapsed() - self._asked_at < AGAIN):
            return self.limits
        self._asked_at = self.elapsed()
        mark = _mark_of(self.path)
        if mark != self._mark or mark is None:
            self._mark = mark
            try:
                self.limits, self.problems = limits_of(self.path), ()
            except ValueError as error:
                self.problems = tuple(f"{self.path}: {line}" for line in str(error).splitlines())
        return self.limits


def _mark_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None where it cannot be asked."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
