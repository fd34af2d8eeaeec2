"""Every method about agents of the official SDK 2.1.0, in its own environment, sync and async, over HTTP and TLS."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from environments import environment
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from official_sdk_documented import OTHER_FEATURES, documented
from official_sdk_old_documented import DOCUMENTED_OLD
from patience import PATIENCE
from tools.repository import ROOT


@pytest.mark.parametrize("carrier", ["http", "tls"])
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_sdk_succeeds_and_is_refused_as_documented(flavour: str, carrier: str, tmp_path: Path) -> None:
    config = EmulatorConfig(
        port=0,
        tls=carrier == "tls",
        state_dir=tmp_path,
        lifecycle=Lifecycle("immediate"),
        readiness_seconds=0.5,
    )
    with running(config) as url:
        found = performed(flavour, url, config.ca_path if config.tls else None)
    plays = found["plays"]
    assert "\n".join(play["error"] for play in plays.values() if play["error"]) == ""
    assert [name for name, play in plays.items() if set(play["shown"]) - set(play["outcomes"])] == []
    assert set().union(*(play["outcomes"] for play in plays.values())) == documented(DOCUMENTED_OLD)
    called = {method.partition("(")[0] for method in DOCUMENTED_OLD if method.startswith(("agents.", "beta."))}
    assert called == {name for name in found["offered"] if not any(each in name for each in OTHER_FEATURES)}


def performed(flavour: str, url: str, authority: Path | None) -> Any:
    """Perform all plays in one process of that SDK and return what it wrote."""
    trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(authority)) if authority else {}
    run = subprocess.run(
        [environment("sdk-2.1"), "-m", "official_sdk_old", flavour, url, *([str(authority)] if authority else [])],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), **trusted},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
