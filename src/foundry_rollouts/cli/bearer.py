"""The token that the command line shows to the service: out of a variable or a file, never of the command line itself.

Arguments are seen by everybody on the machine, and kept by shells.
"""

import os
from pathlib import Path

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError

TOKEN = "FOUNDRY_ROLLOUTS_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = f"{TOKEN}_FILE"


def bearer(server: str) -> dict[str, str]:
    """Return the header to send to ``server``; nothing when there is no token.

    Raises UsageError for a token that cannot be one, or that would go out in the clear.
    """
    token = _token()
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{_source()} holds no token: write the one line that 'foundry-rollouts token create' printed")
    if not server.lower().startswith("https://") and not is_loopback(host_of(server)):
        raise UsageError(f"{server} would get the token of {_source()} in the clear: write https://")
    return {"Authorization": f"Bearer {token}"}


def _source() -> str:
    return TOKEN if os.environ.get(TOKEN) else TOKEN_FILE


def _token() -> str:
    if token := os.environ.get(TOKEN):
        return token.strip()
    file = os.environ.get(TOKEN_FILE)
    if not file:
        return ""
    try:
        return Path(file).read_text("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{TOKEN_FILE}: {file} holds no token: write what 'token create' printed") from None
    except OSError as error:
        raise UsageError(f"{TOKEN_FILE}: {file} cannot be read, {error.strerror}: fix it, or unset it") from None
