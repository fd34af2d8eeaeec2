"""Two policies that say the same have the same hash, whatever their files look like."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.policy_hash import LENGTH, policy_hash
from foundry_rollouts.policies.load import policies_in

PLAIN = """
name: support
agents: ["support-*"]
steps: [{weight: 10, min: 60s}, {weight: 100}]
sources: {probe: {prompts: prompts.yaml}}
"""
OTHERWISE = """
# The same, by another hand.
steps:
  - weight: 10
    min: 1m
  - weight: 100
sources:
  probe:
    prompts: prompts.yaml
agents:
  - support-*
name: support
on-drift: pause
"""


def a_policy(folder: Path, text: str, prompt: str = "say hello") -> Policy:
    (folder / "prompts.yaml").write_text(f"- {{name: hello, input: {prompt}}}\n", "utf-8")
    (folder / "policy.yaml").write_text(text, "utf-8")
    return policies_in(folder / "policy.yaml")[0]


def test_form_comments_order_and_defaults_that_are_written_out_change_nothing(tmp_path: Path) -> None:
    first = policy_hash(a_policy(tmp_path, PLAIN))
    assert len(first) == LENGTH
    assert set(first) <= set("0123456789abcdef")
    assert policy_hash(a_policy(tmp_path, OTHERWISE)) == first


def test_each_word_and_each_prompt_changes_it(tmp_path: Path) -> None:
    policy = a_policy(tmp_path, PLAIN)
    others = [
        replace(policy, name="other"),
        replace(policy, agents=("support-eu",)),
        replace(policy, deadline=timedelta(hours=5)),
        replace(policy, on_drift=OnDrift.ADOPT),
        a_policy(tmp_path, PLAIN.replace("60s", "61s")),
        a_policy(tmp_path, PLAIN, "say goodbye"),
    ]
    assert len({policy_hash(each) for each in (policy, *others)}) == len(others) + 1
