"""Waiting for a service that was started as a process of its own."""

import subprocess
import time
from collections.abc import Callable

import httpx
import pytest

from patience import PATIENCE


def until_ready(address: str, process: subprocess.Popen[bytes], last_words: Callable[[], str] = str) -> None:
    """Wait until ``address`` answers 200; fail with the last words of ``process`` when it does not."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    pytest.fail(f"{address} did not become ready; exit code {process.poll()}\n{last_words()}")
