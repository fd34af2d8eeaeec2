"""What the setting of limits may say, what is refused, and a file that changes under way."""

import json
import os
from pathlib import Path

import pytest

from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.errors import UsageError
from foundry_rollouts.policies.limits import GivenLimits, LimitsInForce, limits_of
from foundry_rollouts.settings import PREFIX, load

WHOLE = """
at-once = {project = 5, labels = {payments = 2, ring-0 = 1}}
waves = ["ring-0", ["ring-1", "ring-2"]]
"""
FORM = (
    'this is no table of limits: write at-once = {project = 5, labels = {payments = 2}} or waves = ["ring-0", "ring-1"]'
)
READ = Limits(5, (("payments", 2), ("ring-0", 1)), (("ring-0",), ("ring-1", "ring-2")))


@pytest.fixture(autouse=True)
def _one_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("FOUNDRY_", "AZURE_AI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}PROJECT_ENDPOINT", "https://acme.services.ai.azure.com/api/projects/prod")


def test_limits_are_read_from_a_file_from_the_variable_and_from_the_settings_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "limits.toml").write_text(WHOLE)
    monkeypatch.setenv(f"{PREFIX}LIMITS", "limits.toml")
    assert load().limits == GivenLimits(READ, Path("limits.toml"))
    inline = {
        "at-once": {"project": 5, "labels": {"payments": 2, "ring-0": 1}},
        "waves": ["ring-0", ["ring-1", "ring-2"]],
    }
    monkeypatch.setenv(f"{PREFIX}LIMITS", json.dumps(inline))
    assert load().limits == GivenLimits(READ)
    monkeypatch.setenv(f"{PREFIX}LIMITS", "")
    assert load().limits is None
    monkeypatch.delenv(f"{PREFIX}LIMITS")
    (tmp_path / "foundry-rollouts.toml").write_text("[limits]\nat-once = 3\n")
    assert load().limits == GivenLimits(Limits(3))


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({"at_once": 2}, ["'at_once' is no limit: did you mean at-once?"]),
        ({"at-once": 0}, ["at-once: 0 is no number of rollouts: write a whole number, at least 1"]),
        ({"at-once": True}, ["at-once: True is no number of rollouts: write a whole number, at least 1"]),
        (
            {"at-once": {"project": "5", "label": {}, "labels": 3}},
            [
                "at-once: 'label' is no limit: did you mean labels?",
                "at-once: project: '5' is no number of rollouts: write a whole number, at least 1",
                "at-once: labels: this is no table: write labels = {payments = 2}",
            ],
        ),
        (
            {"at-once": {"labels": {"a b": 1, "c": 1.5}}},
            [
                "at-once: labels: a b: 'a b' is no label: write letters, digits, '.', '_' and '-', at most 63",
                "at-once: labels: c: 1.5 is no number of rollouts: write a whole number, at least 1",
            ],
        ),
        ({"waves": "ring-0"}, ['waves: this is no list: write waves = ["ring-0", "ring-1"]']),
        (
            {"waves": [[], ["a"], "a", 3]},
            [
                "waves: wave 1 has no label: name one, or take the wave out",
                "waves: wave 3: a is in two places: keep one of them",
                "waves: wave 4: 3 is no label: write letters, digits, '.', '_' and '-', at most 63",
            ],
        ),
        (
            "[1]",
            [FORM],
        ),
        ("{", ["cannot be read as JSON at line 1, column 2: fix it there"]),
        ("no.toml", ["there is no file 'no.toml': write it, or write the JSON itself"]),
        (".", ["'.' cannot be read, Is a directory: fix its permissions"]),
    ],
)
def test_each_mistake_is_a_line(given: object, lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        limits_of(given)
    assert str(refused.value).splitlines() == lines


@pytest.mark.parametrize("given", [{}, {"at-once": 2}, {"waves": [["a"], "b"]}])
def test_whatever_is_left_out_is_not_limited(given: dict[str, object]) -> None:
    assert limits_of(given).names() == (("a", "b") if "waves" in given else ())


def test_a_mistake_names_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("at-once = \nwaves = 1\n")
    monkeypatch.setenv(f"{PREFIX}LIMITS", "limits.toml")
    with pytest.raises(UsageError) as refused:
        load()
    assert str(refused.value) == (
        f"{PREFIX}LIMITS: 'limits.toml' is not TOML, Invalid value (at line 1, column 11): fix that line"
    )


def test_a_changed_file_is_in_force_and_a_broken_one_never_replaces_the_last_good_one(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text("at-once = 3\n")
    time = [0.0]
    limits = LimitsInForce(Limits(3), file, lambda: time[0])
    assert limits.now() == Limits(3)
    file.write_text("at-once = 44\n")
    assert limits.now() == Limits(3), "it is asked once a second"
    time[0] = 2
    assert limits.now() == Limits(44)
    assert limits.now() is limits.now()
    for time[0], text in ((4, "at-once = no\n"), (6, None)):
        file.write_text(text) if text else file.unlink()
        assert limits.now() == Limits(44)
        assert [line.startswith(f"{file}: ") for line in limits.problems] == [True]
    file.write_text("at-once = 555\n")
    time[0] = 8
    assert (limits.now(), limits.problems) == (Limits(555), ())
