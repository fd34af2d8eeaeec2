"""Policy files that tests begin with."""

from pathlib import Path

from foundry_rollouts.errors import PolicyError
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.load import policies_in

REPOSITORY = Path(__file__).parents[3]

WHOLE = """\
name: support-agent
agents: ["support-*"]
trigger: manual
steps:
  - {weight: 10, min: 1m, max: 10m}
  - {weight: 50, min: 5m, max: 30m}
  - approval: {}
  - {weight: 100, min: 30m}
deadline: 1h30m
judge:
  false-rollback: 0.1%
  missed-bad: 2%
  tolerate: 1x + 1pp
  bad: 2x + 1.5pp
sources:
  probe: {prompts: prompts/support.yaml, every: 500ms, pairs: 2}
  logs: {sessions: 7}
gates:
  - error-rate: {sources: [logs, probe], max: 20%}
  - latency: {on-failure: pause}
  - log-errors: {}
errors: {ignore: [client-error, rate-limited]}
call-limit: 2m
warm-up: 30s
on-split: note
on-failure: disable
on-no-evidence: advance-if-not-gross
on-drift: restore
sessions-on-rollback: stop
"""

PROMPTS = """\
- name: greeting
  input: hello
  expect: {status: 201, contains: hi, regex: "h[ia]", schema: {type: object}, max-seconds: 2.5}
- {name: order, input: {order: 4711, note: null}}
"""

SMALL = """\
name: small
agents: ["*"]
steps: [{weight: 100}]
"""


def problems_of(folder: Path, text: str) -> list[str]:
    """Write ``text`` to ``p.yaml`` in ``folder`` and return the report without the folder's name."""
    file = folder / "p.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        policies_in(file)
    except PolicyError as error:
        return [line.replace(f"{folder}/", "") for line in error.problems]
    return []


def a_file(folder: Path, name: str, glob: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f'name: {name}\nagents: ["{glob}"]\nsteps: [{{weight: 100}}]\n')
    return path


def names(folder: PolicyFolder) -> list[str]:
    return [policy.name for policy in folder.all()]
