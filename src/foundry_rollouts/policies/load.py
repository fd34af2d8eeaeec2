"""Reading policies once: a file or a folder in, policies and every problem out.

Nothing here raises for a wrong file; a caller that wants all or nothing asks ``policies_in``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from foundry_rollouts.core.deciding.fleet import before
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.errors import PolicyError, UsageError
from foundry_rollouts.policies.build import policy_of, problems_of
from foundry_rollouts.policies.calendar_entries import calendar_of
from foundry_rollouts.policies.contents import SUFFIXES, Seen, is_as_seen, is_lost_link, seen, why_not_a_file
from foundry_rollouts.policies.documents import (
    BrokenYamlError,
    Document,
    Places,
    Problem,
    read_documents,
    shortened,
    shown,
)
from foundry_rollouts.policies.groups import PLACES, group_clashes
from foundry_rollouts.policies.order import circle_in
from foundry_rollouts.policies.prompts import PromptList, prompts_of, repeated_names
from foundry_rollouts.policies.report import check
from foundry_rollouts.policies.schema import PolicyEntry

MOST_PROBLEMS = 20  #: Of one file; who fixes those comes back for the rest.


@dataclass(frozen=True, slots=True)
class Written:
    """One policy and where it stands."""

    policy: Policy
    places: Places  #: Of what a report may be about once the file is read.


@dataclass(frozen=True, slots=True)
class FileRead:
    """What one file holds."""

    path: Path
    written: tuple[Written, ...] = ()
    problems: tuple[str, ...] = ()
    named: tuple[tuple[Path, Seen], ...] = ()  #: Files of prompts, as they were before they were read.
    seen: Seen | None = None  #: The file itself before it was read; None: it is to be read again.
    is_folder: bool = False  #: A folder that cannot be listed: what is in it is not known.

    @property
    def prompts(self) -> tuple[Path, ...]:
        return tuple(path for path, _ in self.named)

    @property
    def is_unchanged(self) -> bool:
        if self.seen is None:
            return False
        return all(is_as_seen(path, before) for path, before in ((self.path, self.seen), *self.named))


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a folder, and those of them that are to be read."""

    paths: tuple[Path, ...]
    changed: tuple[Path, ...]
    refused: FileRead | None = None  #: The folder itself, which cannot be listed.


def policies_in(*paths: Path) -> tuple[Policy, ...]:
    """Return the policies of files and folders. Raises PolicyError with every problem when there is one."""
    files = [file for path in paths for file in read(path)]
    written = [each for file in files for each in file.written]
    problems = [line for file in files for line in file.problems] + clashes(written)
    if problems:
        raise PolicyError(tuple(problems))
    return tuple(each.policy for each in written)


def read(path: Path, before: Mapping[Path, FileRead] | None = None) -> tuple[FileRead, ...]:
    """Read the file, or each YAML file of the folder that no policy names as its prompts.

    A file that still holds what it held in ``before`` is not read again.
    """
    known = before or {}
    listing = listed(path, known)
    return joined(listing, known, {file: read_file(file) for file in listing.changed})


def listed(path: Path, known: Mapping[Path, FileRead]) -> Listing:
    """Return which files there are, and which of them do not hold what is known of them."""
    try:
        paths: tuple[Path, ...] = (path,)
        if path.is_dir():
            names = sorted(entry.name for entry in os.scandir(path) if Path(entry.name).suffix in SUFFIXES)
            paths = tuple(file for file in map(path.joinpath, names) if file.is_file() or is_lost_link(file))
    except OSError as error:
        line = f"{path}:1:1: cannot be read, {error.strerror}: fix its permissions"
        return Listing((), (), FileRead(path, problems=(line,), is_folder=True))
    return Listing(paths, tuple(file for file in paths if file not in known or not known[file].is_unchanged))


def joined(listing: Listing, known: Mapping[Path, FileRead], fresh: Mapping[Path, FileRead]) -> tuple[FileRead, ...]:
    """Return all files of a listing, without those that are prompts of others."""
    if listing.refused:
        return (listing.refused,)
    files = tuple(fresh.get(path) or known[path] for path in listing.paths)
    prompts = {named.resolve() for file in files for named in file.prompts}
    return tuple(file for file in files if not prompts or file.path.resolve() not in prompts)


def read_file(path: Path) -> FileRead:
    """Read the policies of one file."""
    unread = seen(path)
    found = _read(path)
    return replace(found, problems=tuple(map(shortened, found.problems)), seen=unread)


def _read(path: Path) -> FileRead:
    file = str(path)
    if is_lost_link(path):
        return FileRead(path, problems=(f"{file}:1:1: this link leads to no file: point it at one, or delete it",))
    try:
        documents = read_documents(path, file)
    except BrokenYamlError as error:
        return FileRead(path, problems=(str(error),))
    if not documents:
        return FileRead(path, problems=(f"{file}:1:1: the file holds no policy: write name, agents and steps",))
    parts = [_read_policy(document, path) for document in documents]
    return FileRead(
        path,
        written=tuple(written for part in parts for written in part.written),
        problems=_first([line for part in parts for line in part.problems], file),
        named=tuple(named for part in parts for named in part.named),
    )


def _first(lines: Sequence[str], file: str) -> tuple[str, ...]:
    more = len(lines) - MOST_PROBLEMS
    rest = (f"{file}:1:1: there are {more} more problems: fix those above first",) if more > 0 else ()
    return (*lines[:MOST_PROBLEMS], *rest)


def clashes(policies: Iterable[Written]) -> list[str]:
    """Return a line for each name that two have, each glob that two name, agents in a circle, and groups at odds."""
    written = tuple(policies)
    problems = list(group_clashes((each.policy, each.places) for each in written))
    names: dict[str, Written] = {}
    globs: dict[str, Written] = {}
    for each in written:
        first = names.setdefault(each.policy.name, each)
        if first is not each:
            sentence = f"'{each.policy.name}' is the name of the policy in {first.places.start}: choose another"
            problems.append(each.places.line(Problem(("name",), sentence)))
        for place, glob in enumerate(each.policy.agents):
            first = globs.setdefault(glob, each)
            if first is not each:
                owner = f"'{glob}' ties with policy {first.policy.name} in {first.places.start}"
                problems.append(each.places.line(Problem(("agents", place), f"{owner}: leave it to one of them")))
    return [*problems, *_circle(written)]


def _circle(written: Sequence[Written]) -> list[str]:
    """Return the line for agents that wait for each other."""
    circle = circle_in([each.policy for each in written])
    if not circle:
        return []
    first, second = circle[:2]
    owner = next(each for each in written if second in before(first, each.policy))
    waits = ", ".join(f"{agent} waits for {earlier}" for agent, earlier in pairwise(circle))
    sentence = f"{waits}: none of them could ever start, take one out of `after`"
    return [owner.places.line(Problem(("after",), sentence))]


def _read_policy(document: Document, path: Path) -> FileRead:
    if not isinstance(document.content, dict):
        what = f"{shown(document.content)} stands where a policy belongs"
        return FileRead(path, problems=(document.line(Problem((), f"{what}: write name, agents and steps")),))
    if {"apiVersion", "kind"} <= document.content.keys():
        line = document.line(Problem((), "this is a manifest of Kubernetes, not a policy: keep it in another folder"))
        return FileRead(path, problems=(line,))
    entry, problems = check(PolicyEntry, document)
    if entry is None:
        return FileRead(path, problems=_lines(document, problems))
    named = _prompts_path(entry, path)
    files = ((named, seen(named)),) if named else ()
    problems = problems_of(entry)
    prompts: tuple[Prompt, ...] | None = None
    lines: tuple[str, ...] = ()
    if named and "\n" in str(named):
        problems.append(Problem(("sources", "probe", "prompts"), _IN_PLACE))
    elif named and (why := why_not_a_file(named)):
        problems.append(Problem(("sources", "probe", "prompts"), f"{why}: {_HOW}"))
    elif named:
        prompts, lines = _read_prompts(named)
    lines = (*_lines(document, problems), *lines)
    if lines:
        return FileRead(path, problems=lines, named=files)
    try:
        calendar = calendar_of(entry.windows, entry.freeze, path.parent)
        policy = replace(policy_of(entry, prompts), calendar=calendar)
        return FileRead(path, written=(Written(policy, _places(document, policy)),), named=files)
    except UsageError as error:
        # The core is the last word; a refusal that has no place of its own here points at the whole policy.
        return FileRead(path, problems=(document.line(Problem((), str(error))),), named=files)


def _places(document: Document, policy: Policy) -> Places:
    """Return where those values stand that may not go with other policies or with a traffic."""
    agents = [("agents", place) for place in range(len(policy.agents))]
    steps = [("steps", place) for place in range(len(policy.steps))]
    sources = [("sources", name) for name in policy.sources.names]
    return document.places(
        ("name",), ("steps", "auto"), ("deadline",), ("on-split",), ("after",), *PLACES, *agents, *steps, *sources
    )


def _lines(document: Document, problems: Sequence[Problem]) -> tuple[str, ...]:
    placed = sorted(problems, key=lambda each: document.place(each.where, is_about_key=each.is_about_key))
    return tuple(document.line(problem) for problem in placed)


def _prompts_path(entry: PolicyEntry, path: Path) -> Path | None:
    probe = entry.sources.probe if entry.sources else None
    return path.parent / probe.prompts if probe and probe.prompts else None


_IN_PLACE = "the prompts are written where their path belongs: put them into a file of their own, and write its path"
_HOW = "write it, or fix the path, which starts at the policy's folder"


def _read_prompts(path: Path) -> tuple[tuple[Prompt, ...] | None, tuple[str, ...]]:
    file = str(path)
    try:
        documents = read_documents(path, file)
    except BrokenYamlError as error:
        return None, (str(error),)
    if len(documents) != 1:
        return None, (f"{file}:1:1: the file holds {len(documents)} lists of prompts: write one",)
    entries, problems = check(PromptList, documents[0])
    if entries is None:
        return None, _lines(documents[0], problems)
    return prompts_of(entries), tuple(repeated_names(entries, documents[0]))
