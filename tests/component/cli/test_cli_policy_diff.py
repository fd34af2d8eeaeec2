"""Policies from a repository into the folder that a service reads: what changes, and nothing unless all is in order."""

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from component.cli.conftest import Inside
from fakes import FakePolicies
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.web.services import Services
from unit.web.served import serving

A = """
name: a
agents: ["a-*"]
steps: [{weight: 10, min: 1m}, {weight: 50}, {weight: 100}]
sources: {probe: {prompts: prompts/a.yaml}}
"""
B = "name: b\nagents: [b]\nsteps: [{weight: 100}]\n"


@pytest.fixture
def repository(tmp_path: Path, inside: Inside) -> Path:
    """A folder of two policies, of which one has prompts."""
    folder = tmp_path / "policies"
    (folder / "prompts").mkdir(parents=True)
    (folder / "a.yaml").write_text(A)
    (folder / "b.yaml").write_text(B)
    (folder / "prompts/a.yaml").write_text("- {name: hello, input: say hello}\n")
    return folder


def test_a_diff_names_each_key_and_its_exit_code_is_asked_for(repository: Path, inside: Inside) -> None:
    assert inside("policy", "apply", "--to", "live").code == 0
    (repository / "a.yaml").write_text(A.replace("weight: 50", "weight: 25").replace("min: 1m", "min: 2m"))
    (repository / "b.yaml").unlink()
    (repository / "c.yaml").write_text(B.replace("b", "c"))
    done = inside("policy", "diff", "policies", "--against", "live")
    assert done.code == 0
    known = {each.name: policy_hash(each) for each in policies_in(Path("live"), Path("policies/c.yaml"))}
    new = policy_hash(policies_in(Path("policies/a.yaml"))[0])
    assert done.lines == [
        f"~ a: changed ({known['a']} -> {new})",
        '    steps.1.min: "1m" -> "2m"',
        "    steps.2.weight: 50 -> 25",
        f"- b: removed ({known['b']})",
        f"+ c: added ({known['c']})",
    ]
    assert done.errors == ["3 of 3 policies differ"]
    assert inside("policy", "diff", "policies", "--against", "live", "--exit-code").code == 1
    assert inside("policy", "diff", "live", "--against", "live", "--exit-code").code == 0
    items = json.loads(inside("policy", "diff", "--against", "live", "-o", "json").out)
    assert [(each["name"], each["change"]) for each in items] == [("a", "changed"), ("b", "removed"), ("c", "added")]


def test_prompts_that_changed_are_a_difference(repository: Path, inside: Inside) -> None:
    inside("policy", "apply", "--to", "live")
    (repository / "prompts/a.yaml").write_text("- {name: hello, input: say goodbye}\n")
    done = inside("policy", "diff", "--against", "live")
    assert done.lines[1].startswith("    sources.probe.prompts: ")


def test_a_check_says_what_would_be_done_and_writes_nothing(repository: Path, inside: Inside, tmp_path: Path) -> None:
    done = inside("policy", "apply", "--to", "live", "--check")
    assert done.code == 0
    assert done.errors[-1] == "checked: 3 files to write, 0 to remove; nothing was written"
    assert not (tmp_path / "live").exists()


def test_what_is_applied_is_whole_and_a_second_time_there_is_nothing_to_do(repository: Path, inside: Inside) -> None:
    assert inside("policy", "apply", "--to", "live").errors[-1] == "applied: 3 files written, 0 removed"
    assert policies_in(Path("live")) == policies_in(repository)
    assert not [file for file in Path("live").rglob("*") if file.name.startswith(".")]
    assert stat.S_IMODE(Path("live/a.yaml").stat().st_mode) == 0o644
    again = inside("policy", "apply", "--to", "live")
    assert again.errors == ["0 of 2 policies differ", "applied: 0 files written, 0 removed"]


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_nothing_is_written_unless_all_is_in_order(repository: Path, inside: Inside, options: tuple[str, ...]) -> None:
    (repository / "b.yaml").write_text(B + "deadline: soon\n")
    done = inside("policy", "apply", "--to", "live", *options)
    assert done.code == 2
    assert done.errors[0].startswith("policies/b.yaml:4:11: deadline: 'soon' is not a duration")
    assert not Path("live").exists()


def test_what_stays_is_judged_with_it_and_pruned_only_when_asked(repository: Path, inside: Inside) -> None:
    Path("live").mkdir()
    Path("live/old.yaml").write_text(B.replace("name: b", "name: old"))
    done = inside("policy", "apply", "--to", "live", "--check")
    assert done.code == 2
    assert "ties with policy" in done.errors[0]
    assert inside("policy", "apply", "--to", "live", "--prune").errors[-1] == "applied: 3 files written, 1 removed"
    assert policies_in(Path("live")) == policies_in(repository)


def test_a_file_is_no_folder_and_an_empty_folder_no_policies(repository: Path, inside: Inside) -> None:
    done = inside("policy", "apply", "--to", "policies/b.yaml")
    assert (done.code, done.errors) == (
        2,
        ["error: policies/b.yaml is a file: name the folder that the service reads its policies from"],
    )
    Path("empty").mkdir()
    assert inside("policy", "apply", "empty", "--to", "live").errors[0].startswith("empty:1:1: there is no policy here")


async def test_a_service_is_compared_with_by_what_it_has_in_force(
    services: Services, repository: Path, inside: Inside
) -> None:
    in_force = FakePolicies(policies_in(repository), problems=("c.yaml:1:1: it is broken",))
    async with serving(replace(services, policies=in_force, written=as_written)) as (url, _):
        server = ("--server", url)
        done = await asyncio.to_thread(inside, "policy", "diff", *server)
        assert (done.code, done.lines, done.errors) == (0, [], ["0 of 2 policies differ"])
        there = await asyncio.to_thread(inside, "policy", "apply", "--to", "live", *server)
        assert there.errors[-1] == f"in force at {url}: 2 policies"
        (repository / "c.yaml").write_text(B.replace("b", "c"))
        differs = await asyncio.to_thread(inside, "policy", "diff", *server, "--exit-code")
        assert (differs.code, len(differs.lines)) == (1, 1)
        late = await asyncio.to_thread(inside, "policy", "apply", "--to", "live", *server, "--timeout", "1s")
        assert late.code == 4
        assert late.errors[-1] == (
            f"error: {url} does not have in force what was applied: c (c.yaml:1:1: it is broken): check"
        )
