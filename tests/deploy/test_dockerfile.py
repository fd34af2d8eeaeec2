"""The Dockerfile is in order; how the images behave is tried in ``tests/image``."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.repository import ROOT, program

TEXT = (ROOT / "Dockerfile").read_text("utf-8")


def hadolint(file: Path, text: str) -> str:
    """Return what hadolint says about ``text``."""
    file.write_text(text, "utf-8")
    return subprocess.run([program("hadolint"), str(file)], capture_output=True, text=True, check=False).stdout


def stages(text: str) -> dict[str, str]:
    """Return the instructions of each stage, by name; the last one has none."""
    parts = re.split(r"^FROM \S+(?: AS (\S+))?\n", text, flags=re.MULTILINE)[1:]
    return {name or "": body for name, body in zip(parts[::2], parts[1::2], strict=True)}


def faults(text: str) -> Iterator[str]:
    """Yield what hadolint does not ask for and we do."""
    shipped = {name: body for name, body in stages(text).items() if not name.startswith("build")}
    for name, body in shipped.items():
        if re.search(r"^(RUN|SHELL) ", body, re.MULTILINE):
            yield f"{name or 'the last stage'} needs a shell to be built"
        for line in re.findall(r"^ *(?:CMD|ENTRYPOINT) .*$", body, re.MULTILINE):
            if "[" not in line:
                yield f"{line.strip()}: needs a shell to be run"
    if users := set(re.findall(r"^USER (.+)$", text, re.MULTILINE)) - {"10001:10001"}:
        yield f"runs as {', '.join(sorted(users))}"
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for install in re.findall(r"(?:pip|\$PIP) (?:install|\$OPTIONS)[^&|]*", line):
            if "--require-hashes" not in install and "--no-index" not in install:
                yield f"{install.strip()}: without hashes"
    if re.findall(r"^FROM (\S+)", text, re.MULTILINE)[0] != "${BASE}":
        yield "the base is no argument"


def test_it_is_clean(tmp_path: Path) -> None:
    assert hadolint(tmp_path / "Dockerfile", TEXT) == ""


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        ("WORKDIR /build\n", "WORKDIR build\n", "DL3000"),
        ('CMD ["serve"]\n', "CMD serve\n", "DL3025"),
        ("FROM ${BASE} AS build\n", "FROM ${BASE} AS build\nRUN cd /tmp\n", "DL3003"),
        ("ARG BASE=python:3.11-slim-bookworm\n", "FROM python:latest AS base\n", "DL3007"),
    ],
)
def test_hadolint_finds_a_planted_mistake(good: str, bad: str, rule: str, tmp_path: Path) -> None:
    assert good in TEXT
    assert rule in hadolint(tmp_path / "Dockerfile", TEXT.replace(good, bad))


def test_it_has_what_we_ask_of_it() -> None:
    assert list(faults(TEXT)) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("STOPSIGNAL SIGTERM\n", "RUN true\n", "runtime needs a shell to be built"),
        ('CMD ["serve"]', "CMD serve", "CMD serve: needs a shell to be run"),
        ("USER 10001:10001", "USER root", "runs as root"),
        ("FROM ${BASE} AS build\n", "FROM python:3.11 AS build\n", "the base is no argument"),
        (
            "RUN $PIP $OPTIONS --require-hashes --requirement requirements-demo.txt",
            "RUN $PIP $OPTIONS --requirement requirements-demo.txt",
            "$PIP $OPTIONS --requirement requirements-demo.txt: without hashes",
        ),
    ],
)
def test_a_planted_mistake_is_found(good: str, bad: str, fault: str) -> None:
    assert good in TEXT
    assert fault in list(faults(TEXT.replace(good, bad)))


def test_it_is_made_of_files_that_are_there_and_let_in() -> None:
    named = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE) for word in line.split()]
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(let_in)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_build_backend_is_the_one_that_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]
    pins = re.findall(r"^([\w-]+)==", (ROOT / "deploy" / "requirements-build.txt").read_text("utf-8"), re.MULTILINE)
    assert "hatchling" in pins
