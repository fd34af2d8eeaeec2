"""Prompt agents on the command line: made of a model and a file, listed, shown, routed, called, deleted."""

import json

import pytest

from component.cli.engineer import Engineer


@pytest.fixture
def greeter(engineer: Engineer) -> Engineer:
    """Version 1 is all instructions, version 2 a whole definition; all calls go to 1."""
    engineer.some_code(
        "prompts",
        greeter__md="Greet.",
        whole__yaml="kind: prompt\nmodel: emulator://echo?reply=two\ntools: [{type: web_search}]\n",
        hosted__json=json.dumps({"kind": "hosted"}),
    )
    engineer.well("create", "p", "--model", "gpt-4.1-mini", "--prompt", str(engineer.folder / "prompts/greeter.md"))
    engineer.well("create", "p", "--prompt", str(engineer.folder / "prompts/whole.yaml"), "--wait")
    engineer.well("route", "p", "1=100")
    return engineer


def test_they_are_listed_and_shown_as_what_they_are(greeter: Engineer) -> None:
    greeter.an_image("h")
    listed = [(each["name"], each["kind"], each["weights"]) for each in greeter.told("list")]
    assert listed == [("h", "hosted", {"@latest": 100}), ("p", "prompt", {"1": 100})]
    assert [line.split()[:2] for line in greeter.well("list").lines] == [
        ["NAME", "KIND"],
        ["h", "hosted"],
        ["p", "prompt"],
    ]
    first = greeter.told("show", "p", "--version", "1")
    assert (first["kind"], first["model"], first["instructions"]) == ("prompt", "gpt-4.1-mini", "Greet.")
    assert "made of       prompt, gpt-4.1-mini" in greeter.well("show", "p", "--version", "1").out
    assert "prompt, emulator://echo?reply=two" in greeter.well("versions", "p").out


def test_the_same_prompt_again_makes_no_version(greeter: Engineer) -> None:
    again = ("create", "p", "--prompt", str(greeter.folder / "prompts/whole.yaml"))
    assert (greeter.told(*again)["version"], greeter.told(*again)["new"]) == ("2", False)
    assert greeter.told(*again, "--model", "gpt-4.1")["version"] == "3"


def test_a_call_goes_where_the_routing_sends_it_or_to_the_version_that_is_named(greeter: Engineer) -> None:
    assert greeter.well("invoke", "p", "hello").out == "hello\n"
    second = greeter.well("invoke", "p", "hello", "--version", "2")
    assert (second.out, second.err.startswith("version 2, ")) == ("two\n", True)
    assert greeter.well("invoke", "p", "hello", "--version", "2", "--stream").out == "two\n"
    assert "has no sessions" in greeter.run("invoke", "p", "x", "--version", "2", "--session", "check-1").err


def test_they_have_no_logs_and_say_so_in_one_line(greeter: Engineer) -> None:
    for more in ((), ("--follow",)):
        done = greeter.run("logs", "p", *more)
        assert (done.code, done.out, done.errors) == (
            2,
            "",
            ["error: p is a prompt agent: it runs in no container, so there are no logs"],
        )


def test_versions_and_the_agent_are_deleted(greeter: Engineer) -> None:
    greeter.well("delete", "p", "--version", "2", "--yes")
    assert [each["version"] for each in greeter.told("versions", "p")] == ["1"]
    greeter.well("delete", "p", "--yes")
    assert greeter.told("list") == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ((), "give --image, or --model and --prompt"),
        (("--image", "emulator://echo", "--model", "m"), "give --image, or --model and --prompt"),
        (("--model", "m", "--cpu", "2"), "a prompt agent has no container"),
        (("--prompt", "greeter.md"), "names no model"),
        (("--prompt", "hosted.json"), "no definition of a prompt agent"),
        (("--prompt", "nowhere.md", "--model", "m"), "cannot be read"),
    ],
)
def test_what_makes_no_version_is_said_before_anything_is_sent(
    greeter: Engineer, words: tuple[str, ...], wrong: str
) -> None:
    placed = [str(greeter.folder / "prompts" / each) if each.endswith((".md", ".json")) else each for each in words]
    done = greeter.run("create", "q", *placed)
    assert (done.code, wrong in done.err, len(done.errors)) == (2, True, 1)
