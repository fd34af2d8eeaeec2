"""A version for one call: shown with who served, and an error where the service did not obey or did not say."""

import pytest

from component.cli.engineer import Engineer

FORMS = (["hello"], ["hello", "--stream"], ['{"n": 1}', "--invocations"], ['{"n": 1}', "--protocol", "invocations"])


@pytest.mark.parametrize("wish", ["2", "latest"])
def test_the_version_that_was_asked_for_serves_whatever_the_weights_say(two_versions: Engineer, wish: str) -> None:
    for words in FORMS:
        done = two_versions.well("invoke", "a", *words, "--version-override", wish)
        assert "from the second" in done.out
        assert done.err.startswith("version 2, session ")


@pytest.mark.parametrize(
    ("switch", "version", "says"),
    [
        ("ignores", "1", "version 1 served"),
        ("falls-back", "1", "the service fell back to version 1"),
        ("absent", None, "the answer does not say which version served"),
    ],
)
def test_a_service_that_does_not_obey_is_an_error_after_the_answer(
    two_versions: Engineer, switch: str, version: str | None, says: str
) -> None:
    two_versions.switch(version_override=switch)
    for words in FORMS:
        done = two_versions.run("invoke", "a", *words, "--version-override", "2")
        assert (done.code, done.out.strip()) == (1, words[0])
        assert (f"version {version}" in done.errors[0]) is (version is not None) or words[0] == "hello"
        assert done.errors[-1] == f"error: version 2 was asked for and {says}: the answer is not known to be its own"
    # Nothing was asked twice: each call opened a session of its own.
    assert len(two_versions.told("sessions", "list", "a")) == len(FORMS)


@pytest.mark.parametrize("more", [["--session", "check-4711"], ["--version", "2"], ["--conversation", "conv_1"]])
def test_it_is_for_a_call_in_a_new_session_only(engineer: Engineer, more: list[str]) -> None:
    done = engineer.run("invoke", "a", "hello", "--version-override", "2", *more)
    assert (done.code, len(done.errors)) == (2, 1)
    assert done.err.startswith("error: --version-override is for a call in a new session")


def test_a_version_that_is_none_is_refused_here_or_there(two_versions: Engineer) -> None:
    assert two_versions.run("invoke", "a", "hello", "--version-override", "2, 1").code == 2
    unknown = two_versions.run("invoke", "a", "hello", "--version-override", "9")
    assert (unknown.code, "not_found" in unknown.err, unknown.out) == (1, True, "")


def test_what_azd_calls_its_options_is_understood(two_versions: Engineer) -> None:
    (two_versions.folder / "order.json").write_text('{"order": 1}', "utf-8")
    words = ("--input-file", "order.json", "--protocol", "invocations", "--version", "1", "--session-id", "check-4711")
    assert two_versions.well("invoke", "a", *words).out == '{"order": 1}\n'
    assert two_versions.well("invoke", "a", "-f", "order.json", "--protocol", "responses").out == '{"order": 1}\n'
    assert two_versions.run("invoke", "a", "x", "-f", "order.json").code == 2
    assert two_versions.run("invoke", "a", "{}", "--invocations", "--protocol", "responses").code == 2
    (two_versions.folder / "noise").write_bytes(b"\xff\xfe\xff")
    assert two_versions.run("invoke", "a", "-f", "noise").err.startswith("error: --input-file noise: it is no UTF-8")
    missing = two_versions.run("invoke", "a", "-f", "no.json")
    assert (missing.code, missing.err) == (2, "error: --input-file no.json: No such file or directory\n")
