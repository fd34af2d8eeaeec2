"""Text that others wrote: no secret in it stays, and no character of it does anything but be read.

Everything that comes from outside passes ``clean`` where it is recorded, and ``visible`` where it is shown.
"""

import re

REDACTED = "[redacted]"

_NAMES = (
    r"password|passwd|pwd|passphrase|api[_-]?key|client[_-]?secret|access[_-]?token|refresh[_-]?token|id[_-]?token"
    r"|auth[_-]?token|account[_-]?key|access[_-]?key|shared[_-]?access[_-]?(?:key|signature)|subscription[_-]?key"
)
_VALUE = r"""(?:\[redacted\]|"[^"\n]*"|'[^'\n]*'|[^\s"'&;<>]+)"""

#: What looks like a secret: what stands before it is kept, in the group ``before``.
SECRETS = re.compile(
    rf"""(?P<scheme>\b(?:bearer|sharedaccesssignature)\s+)[\w.~+/=%&-]{{8,}}
    |(?P<header>\bauthorization["']?\s*[:=]\s*["']?(?:(?:basic|digest|bearer)\s+)?)[^\s"',;]+
    |(?P<user>://[^/:@\s]*:)[^\s/]+(?=@)
    |(?P<query>[?&;](?:sig|signature|code|token|key|secret|x-amz-signature|x-amz-security-token)=)[^&\s"'<>]+
    |(?P<named>(?:{_NAMES})(?:["']|%22)?\s*(?:=|:(?!//)|%3d)\s*){_VALUE}
    |(?P<word>\b(?:sig|token|secret)=){_VALUE}
    |(?P<hook>hooks\.slack\.com/(?:services|workflows|triggers)/)[^\s"'<>]+
    |eyJ[\w-]{{8,}}\.[\w-]+(?:\.[\w-]*)?
    |\b(?:sk-|sk_live_|gh[opsu]_|github_pat_|glpat-|xox[abprs]-|whsec_|AKIA|AIza|frt_)[\w+/=-]{{12,}}
    |\b[A-Za-z0-9+/]{{86}}==""",
    re.IGNORECASE | re.VERBOSE,
)

#: Each of those has one of these in it, in small letters: to search a text for them takes a fraction of the time.
_HINTS = (
    *("=", "://", "passw", "passphrase", "pwd", "key", "secret", "token", "signature", "authorization", "bearer"),
    *("hooks.slack.com", "eyj", "sk-", "sk_live_", "gho_", "ghp_", "ghs_", "ghu_", "github_pat_", "glpat-"),
    *("xox", "whsec_", "akia", "aiza", "frt_"),
)

#: What a terminal obeys, what turns the direction of reading round, what cannot be seen, what cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

#: What a chat takes for a call to everybody in a room, or to one person.
_PINGS = re.compile(r"<[!@#]|@(?=\w)")
MESSAGE = 1500  #: Characters of a sentence that is sent: every service takes as many.


def clean(text: str) -> str:
    """Return ``text`` as it may be recorded: secrets blotted out, what is not for reading made visible."""
    return visible(redacted(text))


def redacted(text: str) -> str:
    """Return ``text`` with ``REDACTED`` in the place of what looks like a secret."""
    # Other alphabets have letters that count as two of these.
    if text.isascii() and not _hints(text.lower()):
        return text
    return SECRETS.sub(lambda found: next((part for part in found.groups() if part), "") + REDACTED, text)


def _hints(text: str) -> bool:
    return any(hint in text for hint in _HINTS)


def visible(text: str) -> str:
    r"""Return ``text`` with each character that does something written out: an escape character is ``\x1b``.

    Line breaks and tabs stay; a carriage return, which hides a line on a terminal, does not.
    """
    if text.isascii() and text.isprintable():
        return text  # As nearly every text of a page is.
    return _UNSEEN.sub(lambda found: _escape(ord(found.group())), text)


def visible_line(text: str) -> str:
    r"""Return ``text`` as ``visible`` does, on one line: a line break is ``\n``."""
    return visible(text).replace("\n", "\\n")


def harmless(text: str, most: int = MESSAGE) -> str:
    """Return ``text`` as it may be sent to a chat or a pager: one line that pings nobody, links nowhere, and ends."""
    line = _PINGS.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", visible_line(redacted(text)))
    line = line.replace("://", ": //").replace("](", "] (")
    return line if len(line) <= most else line[: most - 1] + "…"


def visible_json(text: str) -> str:
    """Return a JSON text that means the same and holds none of those characters as they are."""
    return _UNSEEN.sub(lambda found: _json_escape(found.group()), text)


def _escape(point: int) -> str:
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _json_escape(character: str) -> str:
    if (point := ord(character)) < 0x10000:
        return f"\\u{point:04x}"
    high, low = divmod(point - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
