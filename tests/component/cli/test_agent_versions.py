"""Making versions, fetching their code, deleting them."""

import json
import os
import pty
from zipfile import ZipFile

import pytest

from component.cli.engineer import Engineer
from foundry_rollouts.foundry.packaging import zipped


def test_code_is_deployed_and_progress_goes_to_stderr(engineer: Engineer) -> None:
    done = engineer.well("deploy", str(engineer.some_code()), "--wait")
    assert done.out == "version 1 of shop: active\n"
    first, second, third, *rest = done.errors
    assert first.startswith("packaging ")
    assert second.startswith("2 files, sha256 ")
    assert third == "uploading 0.6 kB to shop"
    assert rest[0] == "version 1 of shop is new"
    assert rest[-1] == "version 1 is active"


def test_the_same_content_uploads_nothing_and_other_labels_make_no_version(engineer: Engineer) -> None:
    folder = str(engineer.some_code())
    first = engineer.told("deploy", folder, "--wait", "--env", "LEVEL=info")
    assert (first["new"], first["version"], first["status"]) == (True, "1", "active")
    again = engineer.run("deploy", folder, "--env", "LEVEL=info", "--output", "json")
    assert json.loads(again.out) == {**first, "new": False}
    assert "uploading" not in again.err
    labelled = engineer.run("deploy", folder, "--env", "LEVEL=info", "--description", "for support")
    assert (labelled.code, labelled.out) == (0, "already deployed as version 1 of shop: active\n")
    other = engineer.told("deploy", folder, "--env", "LEVEL=debug")
    assert (other["new"], other["version"]) == (True, "2")


@pytest.mark.parametrize(
    ("files", "words", "line"),
    [
        ({"main__py": ""}, ["--entry-point", "python app.py"], "the entry point app.py is not there: "),
        ({"old-1.0-py3-none-any__whl": "x"}, [], "old-1.0-py3-none-any.whl is a wheel as it was downloaded: "),
        ({"main__py": ""}, ["--bundled"], "bundled code without packages/: "),
    ],
)
def test_a_layout_that_cannot_start_is_refused_with_its_mend_before_the_upload(
    engineer: Engineer, files: dict[str, str], words: list[str], line: str
) -> None:
    done = engineer.run("deploy", str(engineer.some_code(**files)), *words)
    assert (done.code, done.out) == (2, "")
    assert done.errors[-1].startswith(f"error: {line}")
    assert engineer.told("list") == []


def test_a_wrapper_folder_is_refused(engineer: Engineer) -> None:
    engineer.some_code("outer").rename(engineer.folder / "inner")
    (engineer.folder / "outer").mkdir()
    (engineer.folder / "inner").rename(engineer.folder / "outer" / "inner")
    done = engineer.run("deploy", str(engineer.folder / "outer"))
    assert done.errors[-1] == "error: everything lies inside inner/: deploy the folder inner itself"


def test_a_finished_zip_is_deployed_as_it_is(engineer: Engineer) -> None:
    path = engineer.folder / "shop.zip"
    path.write_bytes(zipped({"main.py": b"", "requirements.txt": b""}).data)
    assert engineer.told("deploy", str(path))["agent"] == "shop"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--env", "A"], "error: --env 'A': a name without a value: write --env NAME=VALUE"),
        (["--env", "A=1", "--env", "A=2"], "error: --env 'A' is given twice: give it once"),
        (["--timeout", "1m"], "error: --timeout says how long to wait: add --wait"),
        (["--build"], "error: --build puts libraries beside the code: add --bundled"),
        (
            ["--agent", "no_name"],
            "error: 'no_name' is no name for an agent: give one with --agent, letters, digits and inner hyphens",
        ),
        (
            ["--entry-point", "python 'main.py"],
            "error: --entry-point \"python 'main.py\": No closing quotation: write for example 'python main.py'",
        ),
    ],
)
def test_wrong_words_are_exit_2_and_nothing_is_sent(engineer: Engineer, words: list[str], line: str) -> None:
    done = engineer.run("deploy", str(engineer.some_code()), *words)
    assert (done.code, done.errors[-1]) == (2, line)
    assert engineer.told("list") == []


def test_a_folder_whose_name_is_no_agents_needs_one(engineer: Engineer) -> None:
    folder = str(engineer.some_code("my_shop"))
    assert "give one with --agent" in engineer.run("deploy", folder).err
    assert engineer.told("deploy", folder, "--agent", "shop")["agent"] == "shop"


def test_a_failed_version_is_exit_3_with_its_error_and_the_same_again_is_told_apart(engineer: Engineer) -> None:
    folder = str(engineer.some_code())
    engineer.next_version_fails("shop", "pip: No matching distribution found for nothing==1")
    done = engineer.run("deploy", folder, "--wait")
    assert (done.code, done.out) == (3, "version 1 of shop: failed\n")
    assert done.errors[-1] == (
        "error: version 1 of shop is failed: CodeError: pip: No matching distribution found for nothing==1: "
        "fix that and deploy again"
    )
    again = engineer.run("deploy", folder)
    assert (again.code, again.out) == (3, "already deployed as version 1 of shop: failed\n")
    assert again.err.endswith(": change something, or delete that version, to try again\n")


def test_no_room_in_the_region_is_no_fault_of_the_code(engineer: Engineer) -> None:
    engineer.next_version_fails("shop", "NoClustersAvailable")
    done = engineer.run("deploy", str(engineer.some_code()), "--wait")
    assert (done.code, done.err.endswith(": the region has no capacity, try again later\n")) == (3, True)


def test_a_wait_that_times_out_is_exit_4_and_says_where_to_look(engineer: Engineer) -> None:
    engineer.control.put("/lifecycle", json={"kind": "looks", "value": 100}).raise_for_status()
    try:
        done = engineer.run("create", "a", "--image", "emulator://echo", "--wait", "--timeout", "200ms")
    finally:
        engineer.control.put("/lifecycle", json={"kind": "immediate"}).raise_for_status()
    assert (done.code, done.out) == (4, "version 1 of a: creating\n")
    assert done.errors[-1] == (
        "error: version 1 of a is not active after 200ms: it continues, follow it with "
        "'foundry-rollouts agent show a --version 1'"
    )


def test_a_draft_is_made_and_promoted_to_a_release(engineer: Engineer) -> None:
    engineer.well("deploy", str(engineer.some_code()))
    folder = str(engineer.some_code(other__py="x = 1"))
    draft = engineer.told("deploy", folder, "--draft", "--wait")
    assert (draft["draft"], draft["version"].startswith("draft-")) == (True, True)
    release = engineer.told("promote-draft", "shop", draft["version"], "--wait")
    assert (release["version"], release["draft"], release["new"]) == ("2", False, True)
    engineer.well("download", "shop", "--version", "2", "--verify", "--against", folder)
    not_one = engineer.run("promote-draft", "shop", "2")
    assert (not_one.code, "is a release already" in not_one.err) == (2, True)


def test_a_draft_that_silently_became_a_release_is_an_error_that_tells_whether_it_serves(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.switch(drafts_enabled=False)
    loud = engineer.run("create", "a", "--image", "emulator://echo?latency_ms=1", "--draft")
    assert (loud.code, loud.out) == (1, "version 2 of a: active\n")
    assert "the cloud made a RELEASE, version 2 of a" in loud.err
    assert "NEW SESSIONS USE IT" in loud.err
    engineer.well("route", "a", "1=100")
    quiet = engineer.run("create", "a", "--image", "emulator://echo?latency_ms=2", "--draft")
    assert (quiet.code, "no session uses it yet" in quiet.err) == (1, True)


def test_all_that_is_said_of_an_image_arrives(engineer: Engineer) -> None:
    words = ["--cpu", "0.5", "--memory", "1Gi", "--protocol", "responses=1.0.0", "--protocol", "a2a", "--env", "A=b=c"]
    words += ["--idle-timeout", "5m", "--description", "the first", "--metadata", "commit=abc"]
    engineer.well("create", "a", "--image", "emulator://echo", *words)
    seen = engineer.told("show", "a", "--version", "1")
    assert (seen["cpu"], seen["memory"], seen["image"]) == ("0.5", "1Gi", "emulator://echo")
    assert seen["protocols"] == {"responses": "1.0.0", "a2a": "2.0.0"}
    assert (seen["environment"], seen["description"], seen["metadata"]) == (["A"], "the first", {"commit": "abc"})


def test_the_endpoint_answers_what_a_later_version_speaks(engineer: Engineer) -> None:
    engineer.well("create", "a", "--image", "emulator://echo")
    engineer.well("route", "a", "1=100")
    more = ("--protocol", "responses", "--protocol", "invocations")
    done = engineer.well("create", "a", "--image", "emulator://echo?latency_ms=1", *more)
    assert "the endpoint of a also serves invocations" in done.errors
    seen = engineer.told("show", "a")
    assert (seen["protocols"], seen["weights"]) == (["responses", "invocations"], {"1": 100})


def test_a_refusal_of_the_cloud_is_one_line_with_what_to_do(engineer: Engineer) -> None:
    done = engineer.run("create", "a", "--image", "emulator://echo", "--cpu", "3")
    assert (done.code, len(done.errors)) == (1, 1)
    assert done.err.endswith(": choose a pair of --cpu and --memory such as 0.5 1Gi, 1 2Gi or 2 4Gi\n")


def test_code_comes_back_as_a_zip_or_a_folder_and_never_over_what_is_there(engineer: Engineer) -> None:
    folder = engineer.some_code()
    engineer.well("deploy", str(folder))
    told = engineer.well("download", "shop").out
    assert told.startswith("shop-1.zip: version 1 of shop, sha256 ")
    with ZipFile(engineer.folder / "shop-1.zip") as archive:
        assert archive.namelist() == ["main.py", "requirements.txt"]
    assert engineer.run("download", "shop").code == 2
    engineer.well("download", "shop", "--to", "unpacked")
    assert (engineer.folder / "unpacked" / "main.py").read_bytes() == (folder / "main.py").read_bytes()
    assert engineer.run("download", "shop", "--to", "unpacked").code == 2


def test_what_is_deployed_is_compared_with_what_is_here(engineer: Engineer) -> None:
    folder = engineer.some_code()
    engineer.well("deploy", str(folder))
    engineer.well("download", "shop", "--verify", "--against", str(folder))
    (folder / "main.py").write_text("changed", "utf-8")
    changed = engineer.run("download", "shop", "--verify", "--against", str(folder))
    assert (changed.code, "the same names with other content" in changed.err) == (1, True)
    (folder / "more.py").write_text("", "utf-8")
    assert "more.py is in one of them only" in engineer.run("download", "shop", "--against", str(folder)).err
    assert not (engineer.folder / "shop-1.zip").exists()


def test_an_agent_made_of_an_image_has_no_code(engineer: Engineer) -> None:
    engineer.an_image("a")
    done = engineer.run("download", "a")
    assert (done.code, "AgentNotCodeBased" in done.err) == (1, True)
    assert done.err.endswith(": the agent runs an image: there is no code to download\n")


def test_deleting_needs_a_yes_where_nobody_can_be_asked(engineer: Engineer) -> None:
    engineer.an_image("a")
    refused = engineer.run("delete", "a")
    assert (refused.code, refused.err.endswith("add --yes\n")) == (2, True)
    assert engineer.well("delete", "a", "--yes").out == "agent a with all its versions is deleted\n"
    assert engineer.told("list") == []


def test_a_version_that_takes_traffic_is_not_deleted(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.an_image("a", "emulator://echo?latency_ms=1")
    engineer.well("route", "a", "1=100")
    refused = engineer.run("delete", "a", "--version", "1", "--yes")
    assert (refused.code, "gets 100% of the new sessions" in refused.err) == (2, True)
    engineer.well("delete", "a", "--version", "2", "--yes")
    assert [version["version"] for version in engineer.told("versions", "a")] == ["1"]


def test_live_sessions_are_a_refusal_until_they_are_ended_by_force(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.well("sessions", "create", "a")
    refused = engineer.run("delete", "a", "--yes")
    assert (refused.code, refused.err.endswith(": stop its sessions, or end them with --force\n")) == (1, True)
    engineer.well("delete", "a", "--force", "--yes")


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, ["a"]), (b"y\n", 0, [])])
def test_deleting_asks_on_a_terminal(engineer: Engineer, answer: bytes, code: int, left: list[str]) -> None:
    engineer.an_image("a")
    ours, theirs = pty.openpty()
    with engineer.begun("delete", "a", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, answer)
        assert process.wait(60) == code
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "delete agent a with all its versions: this cannot be undone. Continue? [y/N]:" in said
    assert [agent["name"] for agent in engineer.told("list")] == left


def test_on_a_terminal_progress_lives_and_the_result_stays_apart(engineer: Engineer) -> None:
    ours, theirs = pty.openpty()
    with engineer.begun("deploy", str(engineer.some_code()), "--wait", "--output", "json", stderr=theirs) as process:
        os.close(theirs)
        result = json.loads(process.stdout.read())
        assert process.wait(60) == 0
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (result["version"], result["status"]) == ("1", "active")
    assert "uploading" in said
    assert "version 1 is active" in said
    assert '"version"' not in said
