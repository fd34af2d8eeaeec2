"""Several projects as a setting: where it comes from, what is refused, and in which words."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings import PREFIX, Project, load

VARIABLE = f"{PREFIX}PROJECTS"
SALES, EMEA = (f"https://acme.services.ai.azure.com/api/projects/{name}" for name in ("sales", "emea"))
FORM = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty folder with no variable of ours set."""
    for name in list(os.environ):
        if name.startswith(("FOUNDRY_", "AZURE_AI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusals(monkeypatch: pytest.MonkeyPatch, given: Any, **more: str) -> list[str]:
    monkeypatch.setenv(VARIABLE, given if isinstance(given, str) else json.dumps(given))
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        load()
    return str(refused.value).splitlines()


def test_projects_are_read_from_a_variable_a_yaml_file_and_the_toml_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = {"sales": {"endpoint": f"{SALES}/"}, "emea": {"endpoint": EMEA, "policies": "emea"}}
    monkeypatch.setenv(VARIABLE, json.dumps(entries))
    assert load().watched == (Project("sales", SALES), Project("emea", EMEA, "default", Path("emea")))
    assert load().project_name == "sales, emea"
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "projects.yaml").write_text(f"sales: {{endpoint: {SALES}}}\nemea: {{endpoint: {EMEA}, policies: emea}}\n")
    monkeypatch.setenv(VARIABLE, "conf/projects.yaml")
    assert load().watched[1].policies == Path("conf/emea")
    monkeypatch.delenv(VARIABLE)
    (tmp_path / "foundry-rollouts.toml").write_text(f'[projects.sales]\nendpoint = "{SALES}"\n')
    assert load().watched == (Project("sales", SALES),)
    assert load().project_name == "acme / sales"


def test_each_mistake_is_a_line_and_none_repeats_what_may_be_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = refusals(
        monkeypatch,
        {
            "Sales": {"endpoint": "http://ann:hunter2@127.0.0.1:1/api/projects/x", "credentail": "hunter2"},
            "a/b": {"endpoint": SALES},
            "c": {"endpoint": EMEA, "policies": ""},
            "d": "hunter2",
            "e": {},
            "f": {"endpoint": "https://hunter2.example", "credential": "hunter2"},
            "g": {"endpoint": EMEA, "credential": "emulator"},
        },
    )
    assert lines == [
        f"{VARIABLE}: project {line}"
        for line in (
            "'Sales': a name is 1 to 63 small letters, digits and '-', and neither begins nor ends with '-': choose"
            " another",
            "'Sales': 'credentail' is no setting of a project: did you mean credential?",
            f"'Sales': endpoint: holds more than an address (a login, '?' or '#'): write {FORM}",
            "'a/b': a name is 1 to 63 small letters, digits and '-', and neither begins nor ends with '-': choose"
            " another",
            "'c': policies: is no path: write that of a file or folder, or leave it out",
            f"""'d': has no settings of its own: write {{"NAME": {{"endpoint": "{FORM}"}}}}""",
            f"'e': endpoint: is not set: write {FORM}",
            f"'f': endpoint: what is there names no project: write {FORM}",
            "'f': credential: is no kind of login: write default or emulator",
            "'g': credential: 'emulator' is for a loopback endpoint only: write default",
        )
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", "names no project: write {"),
        ("[1]", "this is no table of projects: write {"),
        ("nowhere.yaml", "there is no file 'nowhere.yaml': write it, or write the JSON itself"),
        ('{"a": ', "cannot be read at line 1, column "),
        ('{"a": {}, "a": {}}', "cannot be read at line 1, column 11, a name stands there twice: fix it there"),
        (
            {"a": {"endpoint": SALES}, "b": {"endpoint": SALES.replace("sales", "SALES")}},
            "project 'b': endpoint: is that of project 'a', too: keep one of them",
        ),
    ],
)
def test_a_setting_that_names_no_projects_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, given: Any, said: str
) -> None:
    (line,) = refusals(monkeypatch, given)
    assert line.startswith(f"{VARIABLE}: {said}")


def test_one_project_and_several_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (f"{PREFIX}PROJECT_ENDPOINT", "FOUNDRY_PROJECT_ENDPOINT"):
        (line,) = refusals(monkeypatch, {"a": {"endpoint": SALES}}, **{name: EMEA})
        assert line.startswith(f"{PREFIX}PROJECT_ENDPOINT: is set beside {VARIABLE}, which names every project: unset")
        monkeypatch.delenv(name)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(UsageError, match=rf"^{PREFIX}PROJECT_ENDPOINT: is not set: write https://"):
        load()
