"""Reading YAML so that every key and every value still knows its line and column.

The only importer of the YAML library in this room. YAML 1.2: ``12:30`` and ``no`` stay text, and a key that
stands twice is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from foundry_rollouts.policies.contents import LARGEST_FILE

LONGEST_LINE = 1_000  #: Characters of a report line.
MOST_DOCUMENTS = 500  #: In one file; a folder of policies may hold any number of files.
MOST_VALUES = 20_000  #: In one document, aliases written out.

Location = tuple[str | int, ...]  #: Keys and places in lists, from the document's root.


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a location, and how to fix it."""

    where: Location
    sentence: str
    is_about_key: bool = False  #: Point at the key itself, not at its value.


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: ``content`` as plain values, ``marked`` as the parser's, which know their place."""

    file: str
    content: Any
    marked: Any

    def line(self, problem: Problem) -> str:
        """Return the report line ``file:line:column: field: what: how to fix``."""
        return _report(self.file, self.place(problem.where, is_about_key=problem.is_about_key), problem)

    def places(self, *wheres: Location) -> "Places":
        """Return where the document and ``wheres`` stand, without the rest of the document."""
        return Places(self.file, {where: self.place(where) for where in ((), *wheres)})

    def place(self, where: Location, *, is_about_key: bool = False) -> tuple[int, int]:
        """Return line and column, from 1, of ``where`` or of the nearest thing around it in the file."""
        node, place = self.marked, _start(self.marked)
        for depth, part in enumerate(where, start=1):
            wants_key = is_about_key and depth == len(where)
            found = _place_in(node, part, wants_key=wants_key)
            if found is None:
                break
            place, node = found, node[part]
        return place[0] + 1, place[1] + 1


@dataclass(frozen=True, slots=True)
class Places:
    """Where some values of a document stand: small enough to be kept, and to be sent to another process."""

    file: str
    at: Mapping[Location, tuple[int, int]]

    @property
    def start(self) -> str:
        """The file and the line where the document begins."""
        return f"{self.file}:{self.at[()][0]}"

    def line(self, problem: Problem) -> str:
        """Return the report line of a problem at one of the places."""
        return _report(self.file, self.at[problem.where], problem)


class BrokenYamlError(Exception):
    """The file cannot be read as YAML; its text is the whole report line."""


def read_documents(path: Path, file: str) -> list[Document]:
    """Return the documents of ``path`` that hold anything. Raises BrokenYamlError."""
    text = _read_text(path, file)
    if (count := text.count("\n---")) > MOST_DOCUMENTS:
        raise BrokenYamlError(f"{file}:1:1: the file holds {count} documents, at most {MOST_DOCUMENTS}: split it")
    try:
        marked = list(YAML().load_all(text))
        return [Document(file, _plain(node), node) for node in marked if node is not None]
    except DuplicateKeyError as error:
        raise BrokenYamlError(_duplicate(error, file)) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(str(error.problem or error.context).split())
        raise BrokenYamlError(
            f"{file}:{line}:{column}: this is not YAML, {what}: fix it there or just before"
        ) from None
    except (YAMLError, RecursionError, ValueError) as error:
        what = " ".join(str(error).split())
        raise BrokenYamlError(f"{file}:1:1: this cannot be read as YAML, {what}: write it more simply") from None


def _read_text(path: Path, file: str) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BrokenYamlError(f"{file}:1:1: the file is larger than a megabyte: split it")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BrokenYamlError(f"{file}:1:1: there is no such file: write it, or fix the name") from None
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not UTF-8"
        raise BrokenYamlError(f"{file}:1:1: {what}: save the file as UTF-8 text") from None
    except OSError as error:
        raise BrokenYamlError(f"{file}:1:1: cannot be read, {error.strerror}: fix its permissions") from None


def _duplicate(error: DuplicateKeyError, file: str) -> str:
    mark = error.problem_mark
    key = str(error.problem).split('"')[1]
    return f"{file}:{mark.line + 1}:{mark.column + 1}: {key}: this key appears twice: keep one of them"


def _start(node: Any) -> tuple[int, int]:
    if isinstance(node, CommentedMap | CommentedSeq) and node.lc.line is not None:
        return node.lc.line, node.lc.col
    return 0, 0


def _place_in(node: Any, part: str | int, *, wants_key: bool) -> tuple[int, int] | None:
    """Return where ``part`` of ``node`` stands; None when it is not there or came through an alias."""
    try:
        if isinstance(node, CommentedMap):
            place = node.lc.key(part) if wants_key else node.lc.value(part)
        elif isinstance(node, CommentedSeq):
            place = node.lc.item(part)
        else:
            return None
    except (KeyError, TypeError):
        return None
    return (place[0], place[1]) if place else None


def _plain(root: Any) -> Any:
    """Return ``root`` without the parser's own types; raises ValueError when aliases blow it up."""
    left = MOST_VALUES

    def plain(node: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"it holds more than {MOST_VALUES} values")
        match node:
            case dict():
                return {str(key): plain(value) for key, value in node.items()}
            case Sequence() if not isinstance(node, str):
                return [plain(item) for item in node]
            case TaggedScalar():
                return str(node.value)
            case date():
                return node.isoformat()
            case bool() | None:
                return node
            case int() | float() | str():
                return next(kind(node) for kind in (int, float, str) if isinstance(node, kind))
            case _:
                return str(node)

    return plain(root)


def _report(file: str, place: tuple[int, int], problem: Problem) -> str:
    field = _field(problem.where)
    return shortened(f"{file}:{place[0]}:{place[1]}: {field}{': ' if field else ''}{problem.sentence}")


def shortened(line: str) -> str:
    """Return a report line without the middle of what is too long to be read: a file may hold a text of a megabyte."""
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[: LONGEST_LINE - 300]} … {line[-300:]}"


def _field(where: Location) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """Return ``value`` as a reader of the file would call it."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}'"
        case _:
            return str(value)
