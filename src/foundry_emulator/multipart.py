"""Multipart bodies (RFC 7578) as every client sends them, read while they arrive: only what a sink keeps is held.

The library parses parts. Around it stands what it leaves to its user: text before the first boundary, and a body that
ends before its last one.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from foundry_emulator.errors import FoundryError, invalid

_PREAMBLE_BYTES = 64 * 1024
_EXTENDED = re.compile(r";\s*filename\*\s*=([^;]+)", re.IGNORECASE)
_ENCODINGS = ("", "7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself before its bytes; ``filename`` is None where the client sent none."""

    name: str
    filename: str | None
    charset: str | None


class PartSink(Protocol):
    """Takes the bytes of one part."""

    def write(self, data: bytes) -> None:
        """Take the next bytes; raise ``FoundryError`` to refuse the whole body."""


OpenPart = Callable[[PartHead], PartSink]


def is_multipart(content_type: str) -> bool:
    """Tell whether a content type, in whatever case, is that of a form with parts."""
    return parse_options_header(content_type)[0] == b"multipart/form-data"


def declared_charset(content_type: str) -> str | None:
    """Return the charset parameter of a content type, or None."""
    charset = parse_options_header(content_type)[1].get(b"charset")
    return charset.decode("latin-1") if charset else None


async def read_parts(content_type: str, chunks: AsyncIterator[bytes], open_part: OpenPart) -> None:
    """Feed each part of a body to the sink that ``open_part`` gives for it; raise the 400 for a body that is none."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise _unreadable("its content type names no boundary")
    reading = _Reading(open_part)
    try:
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        async for chunk in _from_first_boundary(b"--" + boundary, chunks):
            parser.write(chunk)
    except FormParserError as error:
        raise _unreadable(str(error)) from error
    if not reading.is_complete:
        raise _unreadable(f"it ends before its closing boundary{reading.place()}", reading.name)


class _Reading:
    """The parser's callbacks: they gather a part's headers, then pass its bytes on."""

    def __init__(self, open_part: OpenPart) -> None:
        self._open_part = open_part
        self._headers: dict[str, str] = {}
        self._field = self._value = b""
        self._sink: PartSink | None = None
        self.name: str | None = None
        self.is_complete = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return the callbacks under the library's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_field,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    def place(self) -> str:
        """Return in which part the reading is, for a message."""
        return f", in part '{self.name}'" if self.name else ""

    def _begin(self) -> None:
        self._headers, self._sink, self.name = {}, None, None

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._field = self._value = b""

    def _open(self) -> None:
        head = _head(self._headers)
        self.name = head.name
        encoding = self._headers.get("content-transfer-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise invalid(f"Part '{head.name}' has the unsupported transfer encoding '{encoding}'.", head.name)
        self._sink = self._open_part(head)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        assert self._sink is not None  # noqa: S101 - the library ends a part's headers before its data
        self._sink.write(data[start:end])

    def _end(self) -> None:
        self.is_complete = True


def _head(headers: dict[str, str]) -> PartHead:
    # The library returns bytes of Latin-1, whatever the header was: names may be of any language.
    kind, options = parse_options_header(headers.get("content-disposition", "").encode().decode("latin-1"))
    name = options.get(b"name", b"").decode("utf-8", "replace")
    if kind != b"form-data" or not name:
        raise _unreadable("a part has no Content-Disposition of form-data with a name")
    filename = options.get(b"filename")
    return PartHead(
        name=name,
        filename=_extended_filename(headers) if filename is None else filename.decode("utf-8", "replace"),
        charset=declared_charset(headers.get("content-type", "").encode("ascii", "replace").decode()),
    )


def _extended_filename(headers: dict[str, str]) -> str | None:
    # Not for forms (RFC 7578 4.2), but older clients send names of other scripts in no other way.
    found = _EXTENDED.search(headers["content-disposition"])
    return unquote(found[1].strip().rpartition("'")[2]) if found else None


async def _from_first_boundary(delimiter: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the body from its first boundary on: there may be a line for people before it, and blanks behind it."""
    line = re.compile(rb"(?:\A|\n)(" + re.escape(delimiter) + rb"(?:--)?)[ \t]*\r\n")
    held: bytes | None = b""
    async for chunk in chunks:
        if held is None:
            yield chunk
            continue
        held += chunk
        if found := line.search(held):
            if found[1].endswith(b"--"):
                _refuse_bare_lines(delimiter, held)
            yield found[1] + b"\r\n" + held[found.end() :]
            held = None
        elif len(held) > _PREAMBLE_BYTES:
            _refuse_bare_lines(delimiter, held)
            raise _unreadable("its boundary is not where the content type says")
    if held is not None:
        yield _last_line(delimiter, held)


def _last_line(delimiter: bytes, held: bytes) -> bytes:
    _refuse_bare_lines(delimiter, held)
    # Without the line's end it can only be the last boundary.
    last = delimiter + b"--"
    if held == last or held.endswith(b"\n" + last):
        return last
    raise _unreadable("its boundary does not occur in it" if held else "it is empty")


def _refuse_bare_lines(delimiter: bytes, held: bytes) -> None:
    if re.search(rb"(?:\A|\n)" + re.escape(delimiter) + rb"[ \t]*\n", held):
        raise _unreadable("its lines end in LF alone, not in CRLF")


def _unreadable(problem: str, param: str | None = None) -> FoundryError:
    return invalid(f"The multipart body cannot be read: {problem}.", param)
