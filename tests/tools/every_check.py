"""What ``make test`` and ``make lint`` run: every check, one after the other, to the end.

A check that fails does not keep the others from running. The last lines say what failed, what was left out, and what
passed only when it was run again: on a machine that others use too, a real process may be late by seconds.
"""

# ruff: noqa: T201 - it speaks to a terminal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from tools import system_packages

PROGRAMS = Path(sys.prefix, "bin")
PROSE = ("README.md", "CHANGELOG.md", "docs", "deploy")


@dataclass(frozen=True, slots=True)
class Check:
    """A name and the program that is run, with its arguments; talkative ones are shown while they run."""

    name: str
    command: tuple[str, ...]
    is_talkative: bool = False


LINT = (
    Check("style", ("ruff", "check")),
    Check("format", ("ruff", "format", "--check")),
    Check("types", ("mypy",)),
    Check("imports", ("lint-imports", "--no-cache")),
    Check("dependencies", ("deptry", "src/foundry_rollouts", "migrations")),
    Check("emulator's", ("deptry", "src/foundry_emulator", "--config", "src/foundry_emulator/pyproject.toml")),
    # Tests are left out: they misspell things in order to see them refused. What is vendored is not ours to spell.
    Check(
        "spelling", ("codespell", "--skip=*/static/vendor/*.js", "src", "migrations", *PROSE, "Makefile", "Dockerfile")
    ),
)
#: The tests that took longest are listed at the end of a run.
SLOWEST = ("--durations=15", "--durations-min=1")
#: A handful of tests that failed are run once more, by themselves; where more failed, it was no bad second.
A_HANDFUL = 3
#: Tests that have a run of their own.
ALONE = ("scenarios", "browser", "image")
#: Scenarios start processes of their own, so that fewer run at a time.
TESTS = (
    Check("environments", ("python", "-m", "environments")),
    Check(
        "tests",
        ("pytest", "-n", "auto", *SLOWEST, *(f"--ignore=tests/{name}" for name in ALONE), "tests"),
        is_talkative=True,
    ),
    Check("scenarios", ("pytest", "-n", "2", *SLOWEST, "tests/scenarios"), is_talkative=True),
    # A browser is heavy, and its tests are not asynchronous: a run of their own.
    Check("browser", ("pytest", "-n", "2", *SLOWEST, "tests/browser"), is_talkative=True),
    # Building takes both cores and the disk.
    Check("image", ("pytest", *SLOWEST, "tests/image"), is_talkative=True),
)


def main(arguments: list[str]) -> int:
    """Run the checks; return 0 when all did well."""
    left_out: list[str] = []
    again: list[str] = []
    checks: tuple[Check, ...] = LINT
    if "--without-tests" not in arguments:
        left_out += system_packages.fetch_missing()
        checks += TESTS
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for check in checks:
            report = Path(folder, f"{check.name}.xml")
            if not is_well(check, report):
                late = failures(report)
                if 0 < len(late) <= A_HANDFUL and is_well(only_failures(check), Path(folder, "again.xml")):
                    again += late
                else:
                    failed.append(check.name)
            left_out += skipped(report)
    tell("\nPassed only when it was run again:", again)
    tell("\nLeft out:", left_out)
    print("\nFailed: " + ", ".join(failed) if failed else "\nAll is well.")
    return 1 if failed else 0


def is_well(check: Check, report: Path) -> bool:
    """Run one check, show what it says when it fails, and return whether it did well."""
    began = time.monotonic()
    program, *rest = check.command
    if check.is_talkative:
        rest.append(f"--junitxml={report}")
    print(f"{check.name:<14}", end="\n" if check.is_talkative else "", flush=True)
    run = subprocess.run([PROGRAMS / program, *rest], capture_output=not check.is_talkative, text=True, check=False)
    is_good = run.returncode == 0
    if not check.is_talkative:
        print(f"{'ok' if is_good else 'FAILED'} ({time.monotonic() - began:.1f} s)", flush=True)
        if not is_good:
            print(run.stdout + run.stderr, flush=True)
    return is_good


def only_failures(check: Check) -> Check:
    """Return the check that runs only the tests that failed, one at a time."""
    return replace(check, name=f"{check.name} again", command=(*check.command, "-n", "0", "--last-failed"))


def failures(report: Path) -> list[str]:
    """Return the tests that failed; none where the run ended before it had a report."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).iter("testcase")
    wrong = (each for each in cases if each.find("failure") is not None or each.find("error") is not None)
    return [f"{each.get('classname')}.{each.get('name')}" for each in wrong]


def skipped(report: Path) -> list[str]:
    """Return why tests were skipped, each reason once."""
    if not report.exists():
        return []
    reasons = (skip.get("message", "") for skip in ElementTree.parse(report).iter("skipped"))
    return sorted(set(reasons))


def tell(title: str, lines: list[str]) -> None:
    """Print ``lines`` under ``title``, if there are any."""
    if lines:
        print("\n  ".join([title, *lines]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
