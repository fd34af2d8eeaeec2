"""Runs a Python script step by step, in whatever environment has its libraries, and prints what came of each.

``python python_steps.py SCRIPT RESULTS`` writes one JSON object: the name of each step, what it wrote, and the trace it
failed with, if it did. The steps share their variables, as those of a reader's session do.
"""

import contextlib
import io
import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

STEP = re.compile(r"^# step: (.+)$", re.MULTILINE)


def main(script: Path, results: Path) -> None:
    """Run the steps of ``script``, each also when an earlier one failed."""
    _, *parts = STEP.split(script.read_text("utf-8"))
    variables: dict[str, Any] = {"__name__": "__main__"}
    outcomes = {name: run(text, variables) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    results.write_text(json.dumps(outcomes), "utf-8")


def run(text: str, variables: dict[str, Any]) -> tuple[str, str]:
    """Run one step; return what it wrote and its trace."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            exec(text, variables)
        except Exception:  # noqa: BLE001 - it is the outcome
            return said.getvalue(), traceback.format_exc()
    return said.getvalue(), ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
