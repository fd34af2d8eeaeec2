"""Policies in folders that may not be entered or listed, as a user who is no administrator sees them."""

import ctypes
import subprocess
import sys
from pathlib import Path

from unit.policies.policy_files import SMALL

#: Drops root's right to read everything (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH); others never had it.
PR_CAPBSET_DROP = 24

SHOW = """
import os, sys
from pathlib import Path
from foundry_rollouts.policies.folder import PolicyFolder
home = Path(sys.argv[1])
folder = PolicyFolder(home)
exec(sys.argv[2])
folder.reload()
print([policy.name for policy in folder.all()])
print("\\n".join(folder.problems))
"""


def as_plain_user() -> None:
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def shown_after(home: Path, change: str) -> list[str]:
    """Return the names of the policies in force, and every problem, after ``change``."""
    run = subprocess.run(
        [sys.executable, "-c", SHOW, str(home), change],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=as_plain_user,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_folder_that_may_not_be_listed_any_more_keeps_its_policies_in_force(tmp_path: Path) -> None:
    home = tmp_path / "policies"
    home.mkdir()
    (home / "p.yaml").write_text(SMALL)
    try:
        names, problem = shown_after(home, "os.chmod(home, 0)")
    finally:
        home.chmod(0o755)
    assert names == "['small']"
    assert "cannot be read, Permission denied: fix its permissions" in problem


def test_prompts_in_a_folder_that_may_not_be_entered_are_one_line(tmp_path: Path) -> None:
    home, locked = tmp_path / "policies", tmp_path / "locked"
    home.mkdir()
    locked.mkdir()
    (locked / "ask.yaml").write_text("- {name: a, input: b}\n")
    (home / "p.yaml").write_text(SMALL)
    locked.chmod(0)
    asked = "sources: {probe: {prompts: ../locked/ask.yaml}}"
    try:
        names, problem = shown_after(home, f"home.joinpath('p.yaml').open('a').write({asked!r})")
    finally:
        locked.chmod(0o755)
    assert names == "['small']"
    assert "ask.yaml cannot be reached, Permission denied" in problem
