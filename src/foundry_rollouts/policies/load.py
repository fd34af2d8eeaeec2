"""Reading policies once: a file or a folder in, policies and every problem out.

Nothing here raises for a wrong file; a caller that wants all or nothing asks ``policies_in``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.errors import PolicyError, UsageError
from foundry_rollouts.policies.build import policy_of, problems_of
from foundry_rollouts.policies.contents import digest_of, why_not_a_file
from foundry_rollouts.policies.documents import BrokenYamlError, Document, Problem, read_documents, shown
from foundry_rollouts.policies.prompts import PromptList, prompts_of, repeated_names
from foundry_rollouts.policies.report import check
from foundry_rollouts.policies.schema import PolicyEntry

SUFFIXES = frozenset({".yaml", ".yml"})
MOST_PROBLEMS = 20  #: Of one file; who fixes those comes back for the rest.


@dataclass(frozen=True, slots=True)
class Written:
    """One policy and the document it stands in."""

    policy: Policy
    document: Document

    def line(self, problem: Problem) -> str:
        return self.document.line(problem)


@dataclass(frozen=True, slots=True)
class FileRead:
    """What one file holds; ``prompts`` are the files that its policies name."""

    path: Path
    written: tuple[Written, ...] = ()
    problems: tuple[str, ...] = ()
    prompts: tuple[Path, ...] = ()
    digests: tuple[tuple[Path, str], ...] = ()  #: Of the file and its prompts, taken before they were read.
    is_folder: bool = False  #: A folder that cannot be listed: what is in it is not known.

    @property
    def is_unchanged(self) -> bool:
        return bool(self.digests) and all(digest_of(path) == digest for path, digest in self.digests)


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
    try:
        if not path.is_dir():
            return (_read_if_changed(path, known),)
        paths = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except OSError as error:
        line = f"{path}:1:1: cannot be read, {error.strerror}: allow it"
        return (FileRead(path, problems=(line,), is_folder=True),)
    files = tuple(_read_if_changed(file, known) for file in paths)
    prompts = {named.resolve() for file in files for named in file.prompts}
    return tuple(file for file in files if file.path.resolve() not in prompts)


def _read_if_changed(path: Path, known: Mapping[Path, FileRead]) -> FileRead:
    before = known.get(path)
    if before is not None and before.is_unchanged:
        return before
    digest = digest_of(path)
    return _with_digests(read_file(path), digest)


def _with_digests(file: FileRead, digest: str) -> FileRead:
    return replace(file, digests=((file.path, digest), *((named, digest_of(named)) for named in file.prompts)))


def read_file(path: Path) -> FileRead:
    """Read the policies of one file."""
    file = str(path)
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
        prompts=tuple(named for part in parts for named in part.prompts),
    )


def _first(lines: Sequence[str], file: str) -> tuple[str, ...]:
    more = len(lines) - MOST_PROBLEMS
    rest = (f"{file}:1:1: there are {more} more problems: fix those above first",) if more > 0 else ()
    return (*lines[:MOST_PROBLEMS], *rest)


def clashes(written: Iterable[Written]) -> list[str]:
    """Return a line for each name that two policies have, and each glob that two policies name."""
    problems: list[str] = []
    names: dict[str, Written] = {}
    globs: dict[str, Written] = {}
    for each in written:
        first = names.setdefault(each.policy.name, each)
        if first is not each:
            sentence = f"'{each.policy.name}' is the name of the policy in {_place(first)}: choose another"
            problems.append(each.line(Problem(("name",), sentence)))
        for place, glob in enumerate(each.policy.agents):
            first = globs.setdefault(glob, each)
            if first is not each:
                owner = f"'{glob}' ties with policy {first.policy.name} in {_place(first)}"
                problems.append(each.line(Problem(("agents", place), f"{owner}: leave it to one of them")))
    return problems


def _place(written: Written) -> str:
    line, _ = written.document.place(())
    return f"{written.document.file}:{line}"


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
    files = (named,) if named else ()
    if lines:
        return FileRead(path, problems=lines, prompts=files)
    try:
        return FileRead(path, written=(Written(policy_of(entry, prompts), document),), prompts=files)
    except UsageError as error:
        # The core is the last word; a refusal that has no place of its own here points at the whole policy.
        return FileRead(path, problems=(document.line(Problem((), str(error))),), prompts=files)


def _lines(document: Document, problems: Sequence[Problem]) -> tuple[str, ...]:
    placed = sorted(problems, key=lambda each: document.place(each.where, is_about_key=each.is_about_key))
    return tuple(document.line(problem) for problem in placed)


def _prompts_path(entry: PolicyEntry, path: Path) -> Path | None:
    probe = entry.sources.probe if entry.sources else None
    return path.parent / probe.prompts if probe and probe.prompts else None


_IN_PLACE = "the prompts stand where their path belongs: put them into a file of their own, and write its path"
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
