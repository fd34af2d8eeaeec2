"""What every test relies on."""

import signal
from collections.abc import Iterator

import certifi
import pytest
from hypothesis import HealthCheck, settings

from plain_logs import log_plainly

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts us in the background ignores Ctrl-C for all that we start, and some tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A shared machine may be slow for a second; that says nothing about the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

log_plainly()


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one public authority: each client reads every one, and 140 take longer than most tests."""
    authority, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    file = tmp_path_factory.mktemp("authorities") / "one.pem"
    file.write_text(authority + end, "utf-8")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(file))
        yield
