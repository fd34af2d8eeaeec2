"""The file of targets: what each hears, what is refused, and that no address is ever shown."""

from pathlib import Path

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.notice import Severity
from foundry_rollouts.errors import UsageError
from foundry_rollouts.notify.targets import Target, read_targets
from foundry_rollouts.notify.wording import words_of
from foundry_rollouts.ports import News, Notice

SECRET = "slack://s3cretA/s3cretB/s3cretC"


def news(kind: str = "rollout.rolled_back", *, policy: str = "support", notify: tuple[str, ...] = ()) -> News:
    rollout = a_rollout(policy=a_policy(name=policy, notify=notify))
    return News(1, an_event(kind=kind, step=1), rollout, policy)


def agent_news() -> News:
    return News(1, an_event(kind="agent.unreadable", rollout=None), None, "support")


def read(folder: Path, text: str) -> list[Target]:
    file = folder / "targets.toml"
    file.write_text(text)
    return list(read_targets(file))


def test_a_file_of_targets_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{SECRET}\n")
    on_call, team = read(
        tmp_path,
        f'[on-call]\nurl-file = "url"\nseverity = "critical"\nphases = ["rolled_back"]\n'
        f'[team]\nurl = "{SECRET}"\npolicies = ["support-*"]\nagents = ["*"]\nquiet = "22:00-07:00 Europe/Berlin"\n',
    )
    assert (on_call.name, on_call.url, on_call.severity, on_call.kind) == (
        "on-call",
        SECRET,
        Severity.CRITICAL,
        "slack",
    )
    assert (team.policies, team.agents) == (("support-*",), ("*",))
    assert team.quiet is not None
    assert "s3cret" not in repr(on_call)
    assert read_targets(None) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x]\n", "needs url or url-file"),
        (f'[x]\nurl = "{SECRET}"\nurl-file = "u"\n', "needs url or url-file"),
        (f'[x]\nurl = "{SECRET}"\ncolour = "red"\n', "colour"),
        (f'[x]\nurl = "{SECRET}"\nseverity = "loud"\n', "severity"),
        (f'[x]\nurl = "{SECRET}"\nquiet = "at night"\n', "no quiet hours"),
        ('[x]\nurl = "json://s3cret.example/hook"\n', "in the clear"),
        ('[x]\nurl-file = "none"\n', "none cannot be read"),
        (f'["x y"]\nurl = "{SECRET}"\n', "is not one"),
        (f'x = "{SECRET}"\n', "is not one"),
        (f'[x]\nurl = "{SECRET}\n', "is not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_without_an_address(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read(tmp_path, text)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.toml cannot be read \(FileNotFoundError\)"):
        read_targets(tmp_path / "gone.toml")


def test_a_target_hears_by_severity_policy_agent_and_phase() -> None:
    def heard(news: News, **but: object) -> bool:
        return Target("t", SECRET, **but).hears(news)  # type: ignore[arg-type]

    assert heard(news())
    assert heard(news(), severity=Severity.CRITICAL)
    assert not heard(news("rollout.advanced"), severity=Severity.WARNING)
    assert heard(news(policy="support-eu"), policies=("support-*",))
    assert not heard(news(policy="sales"), policies=("support-*",))
    assert heard(agent_news(), policies=("support",))
    assert not heard(news(), agents=("sales-*",))
    assert heard(news(), phases=("rolled_back",))
    assert not heard(news("rollout.promoted"), phases=("rolled_back",))
    assert not heard(agent_news(), phases=("rolled_back",))


def test_a_policy_that_names_its_targets_leaves_the_others_out() -> None:
    assert Target("t", SECRET, policies=("sales",)).hears(news(notify=("t",)))
    assert not Target("u", SECRET).hears(news(notify=("t",)))
    assert not Target("t", SECRET, severity=Severity.CRITICAL).hears(news("rollout.started", notify=("t",)))


def a_notice(because: str, **but: object) -> Notice:
    event = an_event(kind="rollout.rolled_back", because=because, step=1, weights={"1": 100}, author="ann")
    more: dict[str, object] = {"repeats": 0, "is_reminder": False, "rollout": a_rollout()} | but
    return Notice(1, "k", "t/0", "t", event, attempts=1, since=NOON, **more)  # type: ignore[arg-type]


def test_a_target_is_told_the_sentence_of_the_history() -> None:
    words = words_of(a_notice("canary 14 of 44 failed: worse than 1.2x stable, evidence 1 624 : 1"))
    assert words.title == "[critical] support-agent version 2: rolled back"
    assert words.text.splitlines() == [
        "canary 14 of 44 failed: worse than 1.2x stable, evidence 1 624 : 1",
        "policy support, step 1 of 3; version 1 100%; by ann; rollout r-1",
        "2026-03-02 12:00:00 UTC",
    ]
    again = words_of(a_notice("it failed", repeats=3, is_reminder=True))
    assert again.title.endswith("rolled back (reminder)")
    assert "3 more like this since it was said first." in again.text


def test_what_others_wrote_pings_nobody_links_nowhere_and_gives_nothing_away() -> None:
    evil = "boom\n<!channel> <@U1> @everyone [pay](https://evil.example) \x1b[31m password=hunter2"
    words = words_of(a_notice(f"{evil} " + "x" * 5000))
    line = words.text.splitlines()[0]
    assert all(bad not in line for bad in ("<!", "<@", "@everyone", "](", "://", "\x1b", "hunter2"))
    assert line.startswith("boom\\n< !channel>")
    assert len(line) == 1500
