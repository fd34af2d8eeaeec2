"""The door: ``make`` lists what it offers, and a check that fails is heard."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import every_check
from tools.every_check import Check
from tools.repository import ROOT, said

TARGETS = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[0].split()


def test_make_alone_lists_every_target_with_its_help() -> None:
    listed = re.findall(r"^ *make ([\w-]+) +\S", said("make"), re.MULTILINE)
    assert listed == TARGETS


def test_a_machine_without_python_is_told_in_one_line(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh") or "")
    run = subprocess.run(
        [tools / "sh", ROOT / ".ci" / "environment", "tests/requirements.txt"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("Python 3.11 or newer with venv is needed and was not found: install it")
    assert len(run.stderr.splitlines()) == 1


def test_a_check_that_fails_is_heard_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Check("bad", ("python", "-c", "raise SystemExit('the trouble')"))
    monkeypatch.setattr(every_check, "LINT", (bad, Check("good", ("python", "-c", ""))))
    assert every_check.main(["--without-tests"]) == 1
    said_so = capsys.readouterr().out
    assert "the trouble" in said_so
    assert re.search(r"^good +ok", said_so, re.MULTILINE)
    assert said_so.endswith("Failed: bad\n")


@pytest.mark.parametrize(("body", "code"), [("assert seen", 0), ("assert False", 1)])
def test_a_test_that_fails_is_run_once_more_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], body: str, code: int
) -> None:
    head = "from pathlib import Path\nmark = Path(__file__).with_name('mark')\n"
    test = f"def test_late():\n    seen = mark.exists()\n    mark.touch()\n    {body}\n\n\ndef test_well():\n    pass\n"
    (tmp_path / "test_twice.py").write_text(head + test, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    check = Check("late", ("pytest", f"--rootdir={tmp_path}", "-n", "2", str(tmp_path)), is_talkative=True)
    monkeypatch.setattr(every_check, "LINT", (check,))
    assert every_check.main(["--without-tests"]) == code
    said = capfd.readouterr().out
    assert "1 failed, 1 passed" in said
    assert ("Passed only when it was run again:\n  test_twice.test_late\n" in said) == (code == 0)
    assert said.endswith("All is well.\n" if code == 0 else "Failed: late\n")


def test_what_was_skipped_is_told_once_for_each_reason(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    cases = ["no promtool", "no promtool", "no network"]
    skips = "".join(f"<testcase><skipped message='{why}'/></testcase>" for why in cases)
    report.write_text(f"<testsuites><testsuite>{skips}</testsuite></testsuites>", "utf-8")
    assert every_check.skipped(report) == ["no network", "no promtool"]
    assert every_check.skipped(tmp_path / "none.xml") == []
