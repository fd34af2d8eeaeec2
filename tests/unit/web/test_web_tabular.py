"""Lines of CSV: no cell is a formula, and none does anything in a terminal."""

import pytest

from foundry_rollouts.web.tabular import csv_line


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_run_is_text(begin: str) -> None:
    assert csv_line((f"{begin}1+1", "plain")).startswith("'")
    assert csv_line(("plain", f"a{begin.strip() or ' '}b")).startswith("plain,a")


def test_what_a_terminal_would_do_is_shown() -> None:
    assert "\x1b" not in csv_line(("=\x1b[2J", "\x1b]0;owned\x07", "two\nlines"))
