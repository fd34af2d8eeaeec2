"""Ids that sort by the time they were made in, are short, and are safe in addresses and file names."""

import secrets
from datetime import datetime

# Crockford's letters: in the order of ASCII, so that text sorts as the numbers do, without i, l, o and u.
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
TIME_LETTERS = 9  #: Milliseconds since 1970, until the year 3084.
NOISE_LETTERS = 8
NOISE_BYTES = 5


def id_of(now: datetime, noise: bytes) -> str:
    """Return an id of 17 letters out of the time and five random bytes."""
    milliseconds = int(now.timestamp() * 1000)
    return _spelled(milliseconds, TIME_LETTERS) + _spelled(int.from_bytes(noise[:NOISE_BYTES]), NOISE_LETTERS)


def new_id(now: datetime) -> str:
    """Return an id that nobody has had before: the only place that throws dice for ids."""
    return id_of(now, secrets.token_bytes(NOISE_BYTES))


def _spelled(number: int, letters: int) -> str:
    return "".join(LETTERS[number >> (5 * place) & 31] for place in reversed(range(letters)))
