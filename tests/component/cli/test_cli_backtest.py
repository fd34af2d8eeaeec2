"""What a policy would have made of the past, as the command line tells it."""

import json
from pathlib import Path

import pytest

from component.cli.conftest import Inside

HEADER = "seconds,canary_weight,canary_calls,canary_failures,stable_calls,stable_failures\n"
ROWS = "60,10,12,0,108,1\n120,10,12,0,108,1\n180.5,50,60,0,60,1\n190,50,60,60,60,0\n"
POLICY = 'name: a\nagents: ["*"]\nsteps: [{weight: 10, min: 2m}, {weight: 100}]\njudge: {bad: 3x + 20pp}\n'


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "c.csv").write_text(HEADER + ROWS)
    return tmp_path / "c.csv"


def test_each_row_is_one_object_on_one_line(counts: Path, inside: Inside) -> None:
    done = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv", "--output", "json")
    rows = [json.loads(line) for line in done.lines]
    assert (done.code, done.err) == (0, "")
    assert [row["seconds"] for row in rows] == [60, 120, 180.5, 190]
    assert [row["verdict"] for row in rows] == ["insufficient", "pass", "pass", "fail"]
    assert [row["decision"] for row in rows] == ["hold", "advance", "hold", "rollback"]
    fields = {"seconds", "harm_log10", "safe_log10", "at_most_worse", "verdict", "decision", "because"}
    assert {frozenset(row) for row in rows} == {frozenset(fields)}


def test_people_get_a_table(counts: Path, inside: Inside) -> None:
    done = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv")
    header, first, *_ = done.lines
    assert header.split("  ")[0] == "SECONDS"
    assert first.startswith("60       -0.11       1.21        32 points      insufficient  hold")


def test_a_file_of_spreadsheets_will_do(counts: Path, inside: Inside) -> None:
    written = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv").out
    counts.write_bytes(b"\xef\xbb\xbf" + (HEADER + ROWS + "\n").replace("\n", "\r\n").encode())
    assert inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv").out == written


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "c.csv:1: the header is missing: write "),
        ("seconds,weight\n1,2\n", "c.csv:1: the header is seconds,weight: write "),
        (HEADER, "c.csv:2: there are no counts: write one row"),
        (HEADER + "1,10,2,0,3\n", "c.csv:2: 5 values stand in a row of 6: write "),
        (HEADER + ROWS + "191,10,2,0,3,0,0\n", "c.csv:6: 7 values stand in a row of 6: write "),
        (HEADER + "soon,10,2,0,3,0\n", "c.csv:2: seconds: 'soon' is no time since the start: write "),
        (HEADER + "-1,10,2,0,3,0\n", "c.csv:2: seconds: '-1' is no time since the start: write "),
        (HEADER + "nan,10,2,0,3,0\n", "c.csv:2: seconds: 'nan' is no time since the start: write "),
        (HEADER + "inf,10,2,0,3,0\n", "c.csv:2: seconds: 'inf' is no time since the start: write "),
        (HEADER + ROWS + "\n190,10,2,0,3,0\n", "c.csv:7: seconds: 190 comes after 190: write the rows in the order"),
        (HEADER + "1,101,2,0,3,0\n", "c.csv:2: canary_weight: '101' is not a whole number from 0 to 100: write one"),
        (HEADER + "1,10,two,0,3,0\n", "c.csv:2: canary_calls: 'two' is not a whole number from 0 to "),
        (HEADER + "1,10,2,0,-3,0\n", "c.csv:2: stable_calls: '-3' is not a whole number from 0 to "),
        (HEADER + "1,10,2,0.5,3,0\n", "c.csv:2: canary_failures: '0.5' is not a whole number from 0 to "),
        (HEADER + "1,10,2,,3,0\n", "c.csv:2: canary_failures: '' is not a whole number from 0 to "),
        (HEADER + "1,10,2,3,3,0\n", "c.csv:2: canary_failures: 3 of 2 calls: write at most as many"),
        (HEADER + "1,10,2,0,3,4\n", "c.csv:2: stable_failures: 4 of 3 calls: write at most as many"),
        (HEADER + '1,10,2,0,3,"4\n', "c.csv:1: is not CSV ("),
        (HEADER + "1,10,²,0,3,4\n", "c.csv:2: canary_calls: '²' is not a whole number"),
    ],
)
def test_a_mistake_in_the_counts_is_told_in_one_line(counts: Path, inside: Inside, text: str, complaint: str) -> None:
    counts.write_text(text, "utf-8")
    done = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv", "--output", "json")
    assert (done.code, done.out, len(done.errors)) == (2, "", 1)
    assert done.errors[0].startswith(f"error: {complaint}")


def test_counts_that_cannot_be_read_are_told(counts: Path, inside: Inside) -> None:
    absent = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "absent.csv")
    counts.write_bytes(b"\xff\xfe\x00")
    binary = inside("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv")
    assert (absent.code, binary.code) == (2, 2)
    assert absent.errors == [
        "error: absent.csv:1: cannot be read, No such file or directory: fix the path or its permissions"
    ]
    assert binary.errors == ["error: c.csv:1: is not text in UTF-8: write it as CSV"]


def test_of_several_policies_one_is_named(counts: Path, inside: Inside) -> None:
    (counts.parent / "p.yaml").write_text(POLICY + "---\n" + POLICY.replace("a\n", "b\n", 1).replace('"*"', "b"))
    options = ("policy", "backtest", "--policy", "p.yaml", "--counts", "c.csv")
    unclear, named = inside(*options), inside(*options, "--name", "b")
    assert unclear.errors == ["error: p.yaml: which policy is meant is not clear, it holds a, b: name one with --name"]
    assert (unclear.code, named.code) == (2, 0)
