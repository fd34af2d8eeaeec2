"""Completion in a real bash: what a person gets for pressing Tab."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Complete the last of the words in LINE, and write what bash would offer.
SCRIPT = """
set -eu
source <(foundry-rollouts --show-completion bash)
complete -p foundry-rollouts > /dev/null
read -ra COMP_WORDS <<< "$LINE"
[[ $LINE != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_foundry_rollouts_completion foundry-rollouts
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(line: str, folder: Path) -> list[str]:
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", SCRIPT],
        cwd=folder,
        env={
            "HOME": str(folder),
            "LINE": line,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("foundry-rollouts rol", ["rollout"]),
        ("foundry-rollouts rollout pa", ["pause"]),
        ("foundry-rollouts agent deploy . --rol", ["--rollout"]),
        ("foundry-rollouts rollout list --output ", ["table", "json", "yaml"]),
        ("foundry-rollouts rollout list --phase ro", ["rolled_back"]),
    ],
)
def test_tab_offers_what_fits(tmp_path: Path, line: str, expected: list[str]) -> None:
    assert offered(line, tmp_path) == expected
