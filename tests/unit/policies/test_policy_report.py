"""What operators are told about a wrong file: file, line, column, field, what, and how to fix it."""

from pathlib import Path

import pytest

from foundry_rollouts.policies.load import read_file
from unit.policies.policy_files import SMALL, problems_of

HEAD = "name: a\nagents: [a]\n"
STEPS = "steps: [{weight: 100}]\n"
COUNTED = "sources: {http: {url: 'http://h/{version}', calls: /c, failures: /f, cluster: %s}}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "p.yaml:1:1: the file holds no policy: write name, agents and steps"),
        ("# only words\n", "p.yaml:1:1: the file holds no policy: write name, agents and steps"),
        ("- a\n", "p.yaml:1:1: a list stands where a policy belongs: write name, agents and steps"),
        (HEAD, "p.yaml:1:1: steps is missing: add steps, for example steps: "
               "[{weight: 10}, {approval: {}}, {weight: 100}]"),
        (HEAD + STEPS + "deadlin: 1h\n", "p.yaml:4:1: deadlin: unknown key: did you mean deadline?"),
        (HEAD + STEPS + "sources: {probe: {}, carrier-pigeon: {}}\n",
         "p.yaml:4:22: sources.carrier-pigeon: unknown key: "
         "the keys here are application-insights, http, logs, outcomes, probe, prometheus"),
        (HEAD + STEPS + "gates:\n  - money: {query: x}\n",
         "p.yaml:5:5: gates[0].money: unknown key: the keys here are error-rate, latency, log-errors, value"),
        (HEAD + "steps: {auto: {blast-radius: 0}}\n",
         "p.yaml:3:30: steps.auto.blast-radius: 0 is out of range: write at least 1"),
        (HEAD + "steps: {auto: {max: 2m}}\n",
         "p.yaml:3:21: steps.auto.max: max is shorter than soak: give the weight of 50 time to bake"),
        (HEAD + "steps: {auto: {}, weight: 10}\n",
         "p.yaml:3:19: steps.weight: unknown key: the keys here are auto"),
        (HEAD + "steps:\n  - {weight: 10, approval: {}}\n  - {weight: 100}\n",
         "p.yaml:4:6: steps[0].weight: an approval is a step of its own: move this to another step"),
        (HEAD + 'steps: [{weight: "100"}]\n',
         "p.yaml:3:18: steps[0].weight: '100' stands where a whole number belongs: "
         "write for example 10, without quotes"),
        (HEAD + "steps: [{weight: 120}]\n", "p.yaml:3:18: steps[0].weight: 120 is out of range: write at most 100"),
        (HEAD + "steps: [{weight: 0}]\n", "p.yaml:3:18: steps[0].weight: 0 is out of range: write at least 1"),
        (HEAD + "steps: [100]\n", "p.yaml:3:9: steps[0]: 100 stands where a mapping belongs: write {key: value}"),
        (HEAD + "steps:\n  - {weight: 50}\n  - {weight: 20}\n  - {weight: 100}\n",
         "p.yaml:5:14: steps[1].weight: 20 does not rise above the step before (50): write more than 50"),
        (HEAD + "steps:\n  - {weight: 100}\n  - {weight: 100}\n",
         "p.yaml:5:14: steps[1].weight: the step before reached 100 already: leave this one out"),
        (HEAD + "steps:\n  - {weight: 10}\n  - {weight: 90}\n",
         "p.yaml:5:14: steps[1].weight: the last weight is 90, a rollout ends at 100: add {weight: 100}"),
        (HEAD + "steps: [{approval: {}}]\n",
         "p.yaml:3:8: steps: there is no weight among the steps: add {weight: 100}"),
        (HEAD + "steps: []\n", "p.yaml:3:8: steps: the list is empty: name at least one"),
        (HEAD + "steps: [{weight: 100, min: 10m, max: 5m}]\n",
         "p.yaml:3:38: steps[0].max: max is shorter than min: give the step time to bake"),
        (HEAD + "steps: [{weight: 100, min: 60}]\n",
         "p.yaml:3:28: steps[0].min: 60 is not a duration: write for example 30s, 10m or 1h30m"),
        (HEAD + STEPS + "deadline: 0s\n", "p.yaml:4:11: deadline: '0s' is no time at all: write for example 10s"),
        (HEAD + STEPS + "deadline: 9000h\n",
         "p.yaml:4:11: deadline: '9000h' is longer than a year: write at most 8760h"),
        (HEAD + STEPS + "deadline:\n",
         "p.yaml:4:1: deadline: there is no value here: write {} for the defaults, or leave the key out"),
        (HEAD + STEPS + "judge: {missed-bad: 0.05}\n",
         "p.yaml:4:21: judge.missed-bad: 0.05 has no unit: write 0.05% or 5%, whichever is meant"),
        (HEAD + STEPS + "judge: {missed-bad: 50%}\n",
         "p.yaml:4:21: judge.missed-bad: 50% would be a coin toss: write less than 50%"),
        (HEAD + STEPS + "judge: {bad: 1.3}\n",
         "p.yaml:4:14: judge.bad: 1.3 is not a margin: write for example 1.2x, '1x + 1pp' or '1.5x + 0.5pp'"),
        (HEAD + STEPS + "judge: {bad: 1.1x}\n",
         "p.yaml:4:14: judge.bad: bad (1.1x) lies below tolerate (1.2x): "
         "write a bad that is at least as wide in both numbers"),
        (HEAD + STEPS + "judge: {tolerate: 9x}\n",
         "p.yaml:4:19: judge.tolerate: bad (2x + 2pp) lies below tolerate (9x): "
         "write a bad that is at least as wide in both numbers"),
        (HEAD + STEPS + "sources: {}\n",
         "p.yaml:4:10: sources: no source is named, nothing could be seen: name at least one, as probe: {}"),
        (HEAD + STEPS + "sources: {logs: {}}\ngates: [latency: {}]\n",
         "p.yaml:5:18: gates[0].latency: the source probe is not in use: add probe to sources, or ask logs"),
        (HEAD + STEPS + "gates: [error-rate: {sources: [log]}]\n",
         "p.yaml:4:32: gates[0].error-rate.sources[0]: 'log' is not known here: did you mean logs?"),
        (HEAD + STEPS + "gates: [{error-rate: {}, latency: {}}]\n",
         "p.yaml:4:9: gates[0]: a gate has one name: write each as an item, - error-rate: {}"),
        (HEAD + STEPS + "gates: [error-rate: {}, error-rate: {}]\n",
         "p.yaml:4:25: gates[1].error-rate: error-rate appears here twice: put their sources into one"),
        (HEAD + STEPS + "on-drift: no\n",
         "p.yaml:4:11: on-drift: 'no' is not known here: write pause, restore or adopt"),
        (HEAD + STEPS + "errors: {ignore: [client-eror]}\n",
         "p.yaml:4:19: errors.ignore[0]: 'client-eror' is not known here: did you mean client-error?"),
        (HEAD + STEPS + "errors: {ignore: [429]}\n",
         "p.yaml:4:19: errors.ignore[0]: 429 is not known here: write rate-limited, the kind of such failures"),
        (HEAD + STEPS + "errors: {ignore: [404]}\n",
         "p.yaml:4:19: errors.ignore[0]: 404 is not known here: write client-error, the kind of such failures"),
        (HEAD + STEPS + "errors: {ignore: [500]}\n",
         "p.yaml:4:19: errors.ignore[0]: 500 is not known here: write client-error or rate-limited"),
        (HEAD + "steps: [{weight: 100, max: 30s}]\ncall-limit: 31s\n",
         "p.yaml:3:28: steps[0].max: max is shorter than call-limit: give the step time to bake"),
        (HEAD + STEPS + "call-limit: -1s\n",
         "p.yaml:4:13: call-limit: '-1s' is not a duration: write for example 30s, 10m or 1h30m"),
        (HEAD + STEPS + "call-limit: 0s\n",
         "p.yaml:4:13: call-limit: '0s' is no time at all: write for example 10s"),
        (HEAD + STEPS + "call-limit: 90\n",
         "p.yaml:4:13: call-limit: 90 is not a duration: write for example 30s, 10m or 1h30m"),
        (HEAD + STEPS + "call-limit: 2m\ndeadline: 2m\n",
         "p.yaml:4:13: call-limit: 2m is no shorter than the deadline of 2m: write less"),
        (HEAD + STEPS + "warm-up: 6h\n",
         "p.yaml:4:10: warm-up: 6h is no shorter than the deadline of 6h: write less"),
        (HEAD + STEPS + "warm-up: -1s\n",
         "p.yaml:4:10: warm-up: '-1s' is not a duration: write for example 30s, 10m or 1h30m"),
        (HEAD + STEPS + "warm-up: off\n",
         "p.yaml:4:10: warm-up: 'off' is not a duration: write for example 30s, 10m or 1h30m"),
        (HEAD + STEPS + "on-split: rollback\n",
         "p.yaml:4:11: on-split: 'rollback' is not known here: write hold, pause or note"),
        (HEAD + STEPS + "sources: {probe: {cluster: 2}}\n",
         "p.yaml:4:19: sources.probe.cluster: unknown key: the keys here are every, pairs, prompts"),
        (HEAD + STEPS + COUNTED % "0.5",
         "p.yaml:4:79: sources.http.cluster: 0.5 is out of range: write at least 1"),
        (HEAD + STEPS + COUNTED % "-2",
         "p.yaml:4:79: sources.http.cluster: -2 is out of range: write at least 1"),
        (HEAD + STEPS + COUNTED % "1001",
         "p.yaml:4:79: sources.http.cluster: 1001 is out of range: write at most 1000"),
        (HEAD + STEPS + COUNTED % "many",
         "p.yaml:4:79: sources.http.cluster: 'many' stands where a number belongs: write for example 1.5, "
         "without quotes"),
        (HEAD + STEPS + "on-failure: rollbck\n",
         "p.yaml:4:13: on-failure: 'rollbck' is not known here: did you mean rollback?"),
        ("name: a b\nagents: [a]\n" + STEPS,
         "p.yaml:1:7: name: 'a b' cannot be a name here: use letters, digits, '.', '_' and '-', "
         "at most 63, with a letter or digit at both ends"),
        ("name: a\nagents: ['a b']\n" + STEPS,
         "p.yaml:2:10: agents[0]: 'a b' cannot be a name here: "
         "use letters, digits, '-', '.', '_' and the wildcards * ? [ ]"),
        ("name: a\nagents: [x, x]\n" + STEPS, "p.yaml:2:13: agents[1]: 'x' appears here twice: keep one of them"),
        ("name: a\nagents: x\n" + STEPS, "p.yaml:2:9: agents: 'x' stands where a list belongs: write [a, b]"),
        (HEAD + STEPS + "name: b\n", "p.yaml:4:1: name: this key appears twice: keep one of them"),
        (HEAD + "steps: [\n", "p.yaml:4:1: this is not YAML, expected the node content, but found '<stream end>': "
                              "fix it there or just before"),
        ("a: \x07\n", "p.yaml:1:1: this cannot be read as YAML, unacceptable character #x0007: special characters "
                      'are not allowed in "<unicode string>", position 3: write it more simply'),
        (HEAD + STEPS + "sources: {probe: {prompts: ask.yaml}}\n",
         "p.yaml:4:28: sources.probe.prompts: there is no file ask.yaml: write it, or fix the path, "
         "which starts at the policy's folder"),
    ],
)  # fmt: skip
def test_a_problem_is_one_line_with_its_place_and_its_mending(tmp_path: Path, text: str, line: str) -> None:
    assert problems_of(tmp_path, text) == [line]


def test_every_problem_of_a_file_is_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = "name: a\nagents: []\nsteps: [{weight: 0}, {wait: 1m}]\n---\nname: b\nagents: [b]\nsteps: [{weight: 5}]\n"
    places = [line.split(": ")[0:2] for line in problems_of(tmp_path, text)]
    assert places == [
        ["p.yaml:2:9", "agents"],
        ["p.yaml:3:18", "steps[0].weight"],
        ["p.yaml:3:22", "steps[1]"],
        ["p.yaml:3:23", "steps[1].wait"],
        ["p.yaml:7:18", "steps[0].weight"],
    ]


def test_a_problem_behind_an_alias_points_at_the_place_that_the_file_has(tmp_path: Path) -> None:
    text = HEAD + "steps:\n  - &step {weight: 10, min: soon}\n  - *step\n  - {weight: 100}\n"
    assert [line.split(":")[1] for line in problems_of(tmp_path, text)] == ["4", "4"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert read_file(tmp_path / "latin.yaml").problems == (
        f"{tmp_path}/latin.yaml:1:1: byte 9 is not UTF-8: save the file as UTF-8 text",
    )
    assert read_file(tmp_path / "gone.yaml").problems == (
        f"{tmp_path}/gone.yaml:1:1: there is no such file: write it, or fix the name",
    )
    assert "cannot be read, Is a directory" in read_file(tmp_path).problems[0]


def test_a_file_whose_aliases_multiply_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (problem,) = problems_of(tmp_path, "\n".join(lines) + "\n")
    assert "it holds more than 20000 values" in problem


def test_a_file_of_more_than_a_megabyte_is_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "# " + "x" * 1_000_000) == ["p.yaml:1:1: the file is larger than a megabyte: split it"]


@pytest.mark.parametrize(
    ("prompts", "line"),
    [
        ("", "ask.yaml:1:1: the file holds 0 lists of prompts: write one"),
        ("[]\n", "ask.yaml:1:1: the list is empty: name at least one"),
        ("name: a\n", "ask.yaml:1:1: a mapping stands where a list belongs: write [a, b]"),
        ("- input: hi\n", "ask.yaml:1:3: [0]: name is missing: add name"),
        ("- {name: a, input: x, expect: {max-second: 3}}\n",
         "ask.yaml:1:32: [0].expect.max-second: unknown key: did you mean max-seconds?"),
        ("- {name: a, input: x, expect: {max-seconds: soon}}\n",
         "ask.yaml:1:45: [0].expect.max-seconds: 'soon' stands where a number belongs: "
         "write for example 1.5, without quotes"),
        ("- {name: a, input: x, expect: {regex: '['}}\n",
         'ask.yaml:1:39: [0].expect.regex: "[" is no regular expression that always ends: '
         "write RE2 syntax, without look-around and back references"),
        ("- {name: a, input: x}\n- {name: a, input: y}\n",
         "ask.yaml:2:10: [1].name: 'a' is the name of an earlier prompt: choose another"),
    ],
)  # fmt: skip
def test_a_problem_of_a_prompts_file_points_into_that_file(tmp_path: Path, prompts: str, line: str) -> None:
    (tmp_path / "ask.yaml").write_text(prompts)
    assert problems_of(tmp_path, SMALL + "sources: {probe: {prompts: ask.yaml}}\n") == [line]
