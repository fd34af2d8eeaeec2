"""What the documents' commands find: the local Foundry over TLS, a login for ``az``, an authority that is trusted."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi
import pytest

from environments import VARIABLES, environment
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig
from foundry_emulator.tokens import SUBSCRIPTION
from shell import Outcome

PROJECT = "my-project"
_MISSING = [program for program in ("curl", "jq", "zip", "unzip", "sha256sum") if shutil.which(program) is None]
NEEDS_TOOLS = pytest.mark.skipif(
    bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}: the official documents' commands are left out"
)
#: Variables that would lead a client to other authorities, logins or settings than those of the test.
FOREIGN = ("AZURE_", "IDENTITY_", "MSI_", "FOUNDRY_", "SSL_CERT", "REQUESTS_CA", "CURL_CA")


def once(name: str, factory: pytest.TempPathFactory, run: Callable[[Path], dict[str, Outcome]]) -> dict[str, Outcome]:
    """Return what came of a document's steps; of all workers of a test run the first one runs them."""
    ours = factory.getbasetemp()
    # Each worker has its own folder in that of the run.
    folder = (ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "documents"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = folder / f"{name}.json"
        if not result.exists():
            outcomes = run(folder / name)
            result.write_text(json.dumps({step: (it.output, it.failed) for step, it in outcomes.items()}), "utf-8")
        return {step: Outcome(*both) for step, both in json.loads(result.read_text("utf-8")).items()}


#: Debian's; pip trusts it without being asked, and may need it for the index.
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@contextmanager
def a_foundry(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a local Foundry and give the environment in which a reader has an account, a login and a trusted cloud."""
    folder.mkdir(parents=True)
    config = EmulatorConfig(port=0, tls=True, images="echo", state_dir=folder / "foundry")
    with running(config) as url:
        bundle = folder / "trusted.pem"
        known = Path(VARIABLES.get("SSL_CERT_FILE") or certifi.where())
        trusted = [each.read_text("utf-8") for each in (known, SYSTEM_BUNDLE, config.ca_path) if each.exists()]
        bundle.write_text("\n".join(trusted), "utf-8")
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"), str(bundle)),
            "AZURE_CONFIG_DIR": str(folder / "azure"),
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "IDENTITY_ENDPOINT": f"{url}/_identity/token",
            "IDENTITY_HEADER": "local",
            "EMULATOR": url,
            "BASE_URL": f"{url}/api/projects/{PROJECT}",
            "SUBSCRIPTION": SUBSCRIPTION,
        }


def with_programs(environ: dict[str, str], *pythons: Path) -> dict[str, str]:
    """Return the environment with the programs of some Python environments first on the PATH."""
    folders = [str(python.parent) for python in pythons]
    return {**environ, "PATH": os.pathsep.join([*folders, environ["PATH"]])}


def az() -> Path:
    """Return the Python of the environment that holds ``az``."""
    return environment("az")
