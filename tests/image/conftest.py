"""The images, built once; what was measured is said at the end."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.building import Image, UnavailableError, Workshop, what_is_missing
from image.running import Container

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Give the list of lines that are printed at the end."""
    return pytestconfig.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """Give what images are built with."""
    if reason := what_is_missing():
        pytest.skip(f"the image is not built: {reason}")
    with tempfile.TemporaryDirectory(prefix="image-", dir="/var/tmp") as folder:
        shop = Workshop(Path(folder))
        try:
            shop.prepare()
        except UnavailableError as error:
            pytest.skip(f"the image is not built: {error}")
        yield shop
        shop.close()


@pytest.fixture(scope="session")
def image(workshop: Workshop) -> Image:
    """Build the controller's image."""
    return workshop.build("controller")


@pytest.fixture(scope="session")
def demo_image(workshop: Workshop) -> Image:
    """Build the image with the local Foundry."""
    return workshop.build("demo", "--target", "demo")


@pytest.fixture(scope="session")
def root(workshop: Workshop, image: Image) -> Path:
    """Give the folder with the files of the controller's image."""
    return workshop.root_of(image)


@pytest.fixture(scope="session")
def demo_root(workshop: Workshop, demo_image: Image) -> Path:
    """Give the folder with the files of the image with the local Foundry."""
    return workshop.root_of(demo_image)


@pytest.fixture
def state(image: Image, tmp_path: Path) -> Path:
    """Give a folder of the image's user, as a volume is."""
    folder = tmp_path / "state"
    folder.mkdir()
    user, group = map(int, image.config["User"].split(":"))
    os.chown(folder, user, group)
    return folder


@pytest.fixture
def container(root: Path, image: Image, state: Path) -> Container:
    """Give the controller's image to run."""
    return Container(root, state, image.config)


@pytest.fixture
def demo_container(demo_root: Path, demo_image: Image, state: Path) -> Container:
    """Give the image with the local Foundry to run."""
    return Container(demo_root, state, demo_image.config)
