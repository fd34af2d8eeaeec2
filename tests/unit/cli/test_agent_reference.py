"""The page about the agent commands is made of them."""

from tools.agent_reference import PAGE, reference


def test_the_page_says_what_the_commands_say() -> None:
    assert PAGE.read_text("utf-8") == reference(), "write it anew: PYTHONPATH=tests python -m tools.agent_reference"


def test_it_tells_that_a_rollout_sees_routing_by_hand_as_drift() -> None:
    section = reference().split("## agent route\n")[1].split("\n## ")[0]
    assert "drift" in section
