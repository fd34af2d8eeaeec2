"""The line to one client: whoever sends or reads too slowly is cut off, for others wait for what they hold."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: How long a request may take to come in whole, counted from when the line was opened or from its first byte.
REQUEST_SECONDS = 20.0
#: How long a client may leave what we sent unread.
UNREAD_SECONDS = 30.0
#: What the first line and the headers of a request may take together.
HEAD_BYTES = 32 * 1024


class TooLongHeadError(Exception):
    """The head of a request is longer than any of ours."""


class Line(HttpToolsProtocol):
    """uvicorn's protocol with the two clocks that it lacks, and a limit for headers."""

    request_seconds = REQUEST_SECONDS
    unread_seconds = UNREAD_SECONDS

    _whole_by: asyncio.TimerHandle | None = None
    _read_by: asyncio.TimerHandle | None = None
    _head = 0  #: Bytes of the head as far as it came.
    _is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let somebody in, who is to ask soon."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both clocks."""
        for clock in (self._whole_by, self._read_by):
            if clock is not None:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the request that it begins is to come whole in time."""
        self._expect()
        if self._is_in_head:
            # A header without an end is held back by the parser: only here is it seen to grow.
            self._head += len(data)
            if self._head > HEAD_BYTES and not _ends_head(data):
                self.send_400_response("The headers are too long.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count the head."""
        self._expect()
        self._head, self._is_in_head = 0, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Raises TooLongHeadError, which is answered with 400."""
        self._head += len(name) + len(value)
        if self._head > HEAD_BYTES:
            raise TooLongHeadError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve what the head asks for."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock: the request is here as a whole."""
        if self._whole_by is not None:
            self._whole_by.cancel()
            self._whole_by = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        if self._read_by is None:
            self._read_by = self.loop.call_later(self.unread_seconds, self._cut)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        if self._read_by is not None:
            self._read_by.cancel()
            self._read_by = None
        super().resume_writing()

    def _expect(self) -> None:
        if self._whole_by is None:
            self._whole_by = self.loop.call_later(self.request_seconds, self._cut)

    def _cut(self) -> None:
        cast("Any", self.transport).abort()


def _ends_head(data: bytes) -> bool:
    return b"\r\n\r\n" in data
