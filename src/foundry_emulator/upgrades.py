"""HTTP/1.1 for callers who offer another protocol in clear text, as Java's HttpClient and ``curl --http2`` do.

The parser takes a request with ``Upgrade`` for one without a body. RFC 9110 7.8 has a server ignore an offer that it
does not take up, so the offer is taken out before the parser sees it.
"""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REQUEST = re.compile(rb"[A-Z]+ [^\r\n]* HTTP/1\.1\r\n")
_OFFER = re.compile(rb"(?<=\r\n)Upgrade:[^\r\n]*\r\n", re.IGNORECASE)


class WithoutUpgrade(HttpToolsProtocol):
    """One connection, on which every request is HTTP/1."""

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of a request, or the first of another."""
        is_between = self.cycle is None or self.cycle.response_complete
        super().data_received(without_offer(data) if is_between and _REQUEST.match(data) else data)


def without_offer(data: bytes) -> bytes:
    """Return the beginning of a request without its ``Upgrade`` header; its body stays as it is."""
    head, end, body = data.partition(b"\r\n\r\n")
    return _OFFER.sub(b"", head + end) + body
