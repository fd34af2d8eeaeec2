"""The bill of materials names exactly what is installed, and fits its schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tools.repository import ROOT
from tools.sbom import BILLS, mistakes_in, written


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write the bills of this release."""
    return written(tmp_path_factory.mktemp("bills"))


def components(bill: dict[str, Any]) -> set[tuple[str, str, frozenset[str]]]:
    """Return what a bill names: name, version and the hashes of its files."""
    return {
        (
            each["name"],
            each["version"],
            frozenset(digest["content"] for files in each["externalReferences"] for digest in files["hashes"]),
        )
        for each in bill["components"]
    }


def pinned(file: str) -> set[tuple[str, str, frozenset[str]]]:
    """Return the same of a requirements file."""
    entries = re.split(r"\n(?=\S)", (ROOT / "deploy" / file).read_text("utf-8").strip())
    found = [(re.match(r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)", each), each) for each in entries]
    return {(pin[1], pin[2], frozenset(re.findall(r"sha256:(\w+)", each))) for pin, each in found if pin}


def test_they_name_what_the_images_are_installed_from(bills: list[Path]) -> None:
    for path, pins in zip(bills, BILLS.values(), strict=True):
        bill = json.loads(path.read_text("utf-8"))
        assert components(bill) == pinned(pins)
        assert bill["metadata"]["component"]["name"] == "foundry-rollouts"


def test_they_fit_their_schema_and_a_planted_mistake_does_not(bills: list[Path]) -> None:
    texts = [path.read_text("utf-8") for path in bills]
    planted = [('"type": "library"', '"type": "book"'), ('"alg": "SHA-256"', '"alg": "SHA-25"')]
    assert [good for good, _ in planted if good not in texts[0]] == []
    wrong = [texts[0].replace(good, bad, 1) for good, bad in planted]
    assert [bool(mistake) for mistake in mistakes_in(*texts, *wrong)] == [False, False, True, True]


def test_the_same_files_give_the_same_bytes(bills: list[Path], tmp_path: Path) -> None:
    assert [path.read_bytes() for path in written(tmp_path)] == [path.read_bytes() for path in bills]
