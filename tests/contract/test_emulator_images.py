"""Images that are no ``emulator://`` ones: refused, answered for, or run in a container engine."""

import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulated import AGENT, ECHO, a_project, ask, invoke, open_session, settled, text_of
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_emulator.errors import EmulatorError
from foundry_emulator.sandboxes.images import ImageMode

PRINTED = "myregistry.azurecr.io/my-agent:v2"
NEEDS_BUILDAH = pytest.mark.skipif(
    shutil.which("buildah") is None, reason="no buildah (Debian: apt-get install buildah): no image runs in a container"
)


def a_config(images: ImageMode) -> EmulatorConfig:
    return EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), images=images)


def create(project: httpx.Client, image: str) -> dict[str, Any]:
    definition = {**ECHO, "container_configuration": {"image": image}}
    response = project.post("/agents/a/versions", json={"definition": definition})
    assert response.status_code == 200, response.text
    return settled(project, response.json())


@pytest.fixture(scope="module")
def echoing() -> Iterator[str]:
    with running(a_config("echo")) as url:
        yield url


def test_a_strict_emulator_refuses_an_image_and_names_the_switch(base_url: str) -> None:
    with a_project(base_url) as project:
        failed = create(project, PRINTED)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "ImageError")
    assert "--images echo" in failed["error"]["message"]


def test_an_echoing_one_answers_for_the_image_of_the_documents(echoing: str) -> None:
    with a_project(echoing) as project:
        version = create(project, PRINTED)
        assert (version["status"], version["definition"]["image"]) == ("active", PRINTED)
        assert text_of(ask(project, "hello")) == "hello"


@pytest.mark.parametrize("image", ["emulator://unknown", "emulator://echo?error_rate=2", "https://host/app", "a b", ""])
def test_an_echoing_one_still_refuses_what_names_no_image(echoing: str, image: str) -> None:
    with a_project(echoing) as project:
        definition = {**ECHO, "container_configuration": {"image": image}}
        answer = project.post("/agents/a/versions", json={"definition": definition}).json()
    assert answer.get("error"), answer


def test_an_engine_that_is_not_installed_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmulatorError, match="podman is not installed: install it"), running(a_config("podman")):
        pass


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build an image that holds this interpreter and an agent, and remove it at the end."""
    root, name = tmp_path_factory.mktemp("root"), f"localhost/agent-{uuid.uuid4().hex[:8]}:v1"
    fill(root)
    (root / "main.py").write_text(AGENT, "utf-8")
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, str(root), "/")
    entry = f'["{interpreter()}", "/main.py"]'
    buildah("config", "--entrypoint", entry, "--env", "OF_THE_IMAGE=yes", "--env", "PYTHONUNBUFFERED=1", container)
    buildah("commit", "--quiet", "--rm", container, name)
    yield name
    buildah("rmi", "--force", name)


def interpreter() -> Path:
    return Path(sys.executable).resolve()


def fill(root: Path) -> None:
    """Copy the interpreter, its standard library and the system's libraries it is linked with."""
    python, library = interpreter(), Path(sysconfig.get_path("stdlib"))
    left_out = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "__pycache__", "config-*", "*.a", "idlelib"
    )
    shutil.copytree(library, root / library.relative_to("/"), ignore=left_out)
    binary = next(library.glob("lib-dynload/binascii*.so"), python)
    linked = subprocess.run(
        ["ldd", str(python), str(binary)], capture_output=True, text=True, check=True
    ).stdout.split()
    for name in [python, *(Path(word) for word in linked if word.startswith("/") and not word.endswith(":"))]:
        target = root / name.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name.resolve(), target)


def buildah(*arguments: str) -> str:
    run = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def refuses_to_run(image: str) -> str | None:
    """Return why podman runs no container on this machine; None when it does. It sees the images of buildah."""
    if shutil.which("podman") is None:
        return "no podman (Debian: apt-get install podman)"
    command = ["podman", "run", "--rm", "--network", "host", "--entrypoint", str(interpreter()), image, "-c", ""]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"podman runs no container here: {run.stderr.strip()}" if run.returncode else None


@NEEDS_BUILDAH
@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_an_image_runs_in_a_container_with_the_contract_s_environment(image: str, engine: ImageMode) -> None:
    if engine == "podman" and (reason := refuses_to_run(image)):
        pytest.skip(reason)
    with running(a_config(engine)) as url, a_project(url) as project:
        assert create(project, image)["status"] == "active"
        session = open_session(project)
        assert text_of(ask(project, "hello", agent_session_id=session)) == "1 says hello"
        found = invoke(project, {"environment": True}, session=session).json()
        assert (found["OF_THE_IMAGE"], found["HOME"]) == ("yes", "/home/session")
        assert found["FOUNDRY_AGENT_SESSION_ID"] == session
        invoke(project, {"write": "note.txt"}, session=session)
        files = project.get(f"/agents/a/endpoint/sessions/{session}/files", params={"path": "/"}).json()["entries"]
        assert [each["name"] for each in files] == ["note.txt"]
    assert "foundry-" not in buildah("containers", "--format", "{{.ContainerName}}")


@NEEDS_BUILDAH
def test_an_image_that_cannot_be_pulled_fails_the_version() -> None:
    with running(a_config("buildah")) as url, a_project(url) as project:
        failed = create(project, "localhost:1/absent:v1")
    assert (failed["status"], failed["error"]["code"]) == ("failed", "ImageError")
    assert failed["error"]["message"].startswith("cannot pull 'localhost:1/absent:v1': ")
