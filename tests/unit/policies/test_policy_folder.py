"""The policies in force, while files change under them."""

from pathlib import Path

import pytest

from foundry_rollouts.errors import NotFoundError, PolicyError, UsageError
from foundry_rollouts.policies.folder import PolicyFolder
from unit.policies.policy_files import PROMPTS, SMALL, a_file, names


def test_a_folder_that_is_not_in_order_is_refused_at_the_start_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n")
    (tmp_path / "b.yaml").write_text("")
    with pytest.raises(PolicyError) as refused:
        PolicyFolder(tmp_path)
    assert len(refused.value.problems) == 3


def test_a_path_that_does_not_exist_is_refused_for_it_guards_nothing(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="there is no such file"):
        PolicyFolder(tmp_path / "policies")


def test_an_empty_folder_is_no_mistake_for_policies_may_come_later(tmp_path: Path) -> None:
    folder = PolicyFolder(tmp_path)
    assert folder.policy_for("any") is None
    a_file(tmp_path, "first", "*")
    assert folder.reload()
    assert names(folder) == ["first"]


def test_the_most_exact_match_wins(tmp_path: Path) -> None:
    for name, glob in (("all", "*"), ("support", "support-*"), ("eu", "support-eu-?"), ("one", "support-eu-1")):
        a_file(tmp_path, name, glob)
    folder = PolicyFolder(tmp_path)
    agents = ("sales", "support-us", "support-eu-2", "support-eu-1")
    assert [getattr(folder.policy_for(agent), "name", None) for agent in agents] == ["all", "support", "eu", "one"]


def test_a_tie_is_an_error_that_names_both(tmp_path: Path) -> None:
    a_file(tmp_path, "front", "ab*")
    a_file(tmp_path, "back", "*ba")
    folder = PolicyFolder(tmp_path)
    with pytest.raises(UsageError, match="policies back and front name the agent ab-ba equally"):
        folder.policy_for("ab-ba")


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    a_file(tmp_path, "only", "*")
    with pytest.raises(NotFoundError, match="there is no policy named other: known are only"):
        PolicyFolder(tmp_path).named("other")


def test_a_broken_file_never_replaces_a_good_one(tmp_path: Path) -> None:
    broken, good = a_file(tmp_path, "a", "a"), a_file(tmp_path, "b", "b")
    folder = PolicyFolder(tmp_path)
    broken.write_text("name: [")
    good.write_text(good.read_text().replace("name: b", "name: changed"))
    assert folder.reload()
    assert names(folder) == ["a", "changed"]
    assert [problem.split(":")[0] for problem in folder.problems] == [str(broken)]


def test_a_file_that_is_mended_is_in_force_and_its_problem_is_gone(tmp_path: Path) -> None:
    path = a_file(tmp_path, "a", "a")
    folder = PolicyFolder(tmp_path)
    path.write_text("")
    folder.reload()
    path.write_text(SMALL)
    folder.reload()
    assert (names(folder), folder.problems) == (["small"], ())


def test_prompts_that_break_leave_the_policy_with_the_prompts_it_had(tmp_path: Path) -> None:
    (tmp_path / "ask.yaml").write_text(PROMPTS)
    (tmp_path / "p.yaml").write_text(SMALL + "sources: {probe: {prompts: ask.yaml}}\n")
    folder = PolicyFolder(tmp_path)
    before = folder.named("small")
    (tmp_path / "ask.yaml").write_text("- {name: 1}")
    folder.reload()
    assert folder.named("small") == before
    assert len(folder.problems) == 2


def test_files_that_contradict_each_other_leave_the_set_as_it_was(tmp_path: Path) -> None:
    a_file(tmp_path, "a", "x")
    folder = PolicyFolder(tmp_path)
    a_file(tmp_path, "b", "x")
    folder.reload()
    assert names(folder) == ["a"]
    assert "'x' ties with policy a" in folder.problems[0]


def test_a_file_that_is_taken_away_takes_its_policy_along(tmp_path: Path) -> None:
    path = a_file(tmp_path, "a", "a")
    a_file(tmp_path, "b", "b")
    folder = PolicyFolder(tmp_path)
    path.unlink()
    assert folder.reload()
    assert names(folder) == ["b"]


def test_a_folder_that_vanishes_leaves_its_policies_in_force(tmp_path: Path) -> None:
    home = tmp_path / "policies"
    home.mkdir()
    a_file(home, "a", "a").rename(home / "a.yaml")
    folder = PolicyFolder(home)
    home.rename(tmp_path / "elsewhere")
    assert folder.reload()
    assert names(folder) == ["a"]
    assert "there is no such file" in folder.problems[0]


def test_only_the_file_that_changed_is_read_again(tmp_path: Path) -> None:
    kept, changed = a_file(tmp_path, "a", "a"), a_file(tmp_path, "b", "b")
    folder = PolicyFolder(tmp_path)
    before = folder.named("a"), folder.named("b")
    changed.write_text(changed.read_text() + "# a comment\n")
    kept.touch()
    folder.reload()
    assert folder.named("a") is before[0]
    assert folder.named("b") is not before[1]


def test_prompts_that_change_have_their_policy_read_again(tmp_path: Path) -> None:
    (tmp_path / "ask.yaml").write_text(PROMPTS)
    (tmp_path / "p.yaml").write_text(SMALL + "sources: {probe: {prompts: ask.yaml}}\n")
    folder = PolicyFolder(tmp_path)
    (tmp_path / "ask.yaml").write_text("- {name: other, input: hi}\n")
    assert folder.reload()
    probe = folder.named("small").sources.probe
    assert probe is not None
    assert [prompt.name for prompt in probe.prompts] == ["other"]


PROMPTS_IN_PLACE = "sources:\n  probe:\n    prompts: |\n" + "      - {name: hours, input: When is it open?}\n" * 9


@pytest.mark.parametrize(
    ("sources", "line"),
    [
        (
            PROMPTS_IN_PLACE,
            "are written where their path belongs: put them into a file of their own, and write its path",
        ),
        ("sources: {probe: {prompts: " + "a" * 300 + "}}\n", "cannot be reached, File name too long"),
        ("sources: {probe: {prompts: /dev/zero}}\n", "there is no file /dev/zero"),
        ("sources: {probe: {prompts: .}}\n", "there is no file"),
    ],
)
def test_prompts_that_cannot_be_read_are_one_line_and_the_policy_before_stays(
    tmp_path: Path, sources: str, line: str
) -> None:
    (tmp_path / "p.yaml").write_text(SMALL)
    folder = PolicyFolder(tmp_path)
    (tmp_path / "p.yaml").write_text(SMALL + sources)
    assert folder.reload()
    assert names(folder) == ["small"]
    assert len(folder.problems) == 1
    assert line in folder.problems[0]


def test_a_bundle_of_manifests_that_was_dropped_there_is_one_short_report(tmp_path: Path) -> None:
    a_file(tmp_path, "a", "a")
    folder = PolicyFolder(tmp_path)
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
    (tmp_path / "bundle.yaml").write_text("---\n".join([manifest] * 100))
    folder.reload()
    assert names(folder) == ["a"]
    assert len(folder.problems) == 21
    assert "this is a manifest of Kubernetes, not a policy" in folder.problems[0]
    assert folder.problems[-1].endswith("there are 80 more problems: fix those above first")
    (tmp_path / "bundle.yaml").write_text("---\n".join([manifest] * 1000))
    folder.reload()
    assert [line.partition(": ")[2] for line in folder.problems] == [
        "the file holds 999 documents, at most 500: split it"
    ]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (f"name: '{'x' * 100_000}'\nagents: [a]\nsteps: [{{weight: 100}}]\n", "with a letter or digit at both ends"),
        (f"{'x' * 1000}: 1\n{'x' * 1000}: 2\n", "this key appears twice: keep one of them"),
        (f"- {'x' * 100_000}\n", "write name, agents and steps"),
    ],
)
def test_a_report_line_is_short_however_long_what_is_wrong_is(tmp_path: Path, text: str, how: str) -> None:
    folder = PolicyFolder(tmp_path)
    (tmp_path / "long.yaml").write_text(text)
    folder.reload()
    assert max(map(len, folder.problems)) < 1_100
    assert folder.problems[0].startswith(f"{tmp_path}/long.yaml:")
    assert folder.problems[0].endswith(how)


@pytest.mark.parametrize("target", ["gone.yaml", "p.yaml", "/dev/zero"])
def test_a_link_that_leads_to_no_file_is_a_problem_and_what_it_led_to_stays(tmp_path: Path, target: str) -> None:
    (tmp_path / "first").write_text(SMALL)
    (tmp_path / "p.yaml").symlink_to("first")
    (tmp_path / ".#p.yaml").symlink_to("an editor's lock")
    folder = PolicyFolder(tmp_path)
    (tmp_path / "p.yaml").unlink()
    (tmp_path / "p.yaml").symlink_to(target)
    assert folder.reload()
    assert names(folder) == ["small"]
    assert folder.problems == (f"{tmp_path}/p.yaml:1:1: this link leads to no file: point it at one, or delete it",)
