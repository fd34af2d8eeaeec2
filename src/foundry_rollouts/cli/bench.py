"""``foundry-rollouts bench``: the published measurements, reproducible."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group
from foundry_rollouts.cli.output import Output, column, show_items
from foundry_rollouts.cli.scale.plan import QUICK, SIZES, Part, Plan
from foundry_rollouts.errors import UsageError

if TYPE_CHECKING:
    from foundry_rollouts.bench.report import Report

bench = group("Measure the judge beside other rules, on the same seeded streams (docs/benchmarks.md).")


class Form(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


RunsOption = Annotated[int, typer.Option("--runs", min=1, help="Simulated rollouts of each cell.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same numbers.")]
RuleOption = Annotated[
    list[str] | None, typer.Option("--rule", metavar="NAME", help="Only rules whose name has this in it; repeatable.")
]
ScalarOption = Annotated[
    bool, typer.Option("--scalar", help="Ask the core itself, one rollout after the other: the same numbers, slowly.")
]
FormOption = Annotated[Form, typer.Option("--output", "-o", help="The output format; csv and json hold every cell.")]

#: What each command answers, and how many runs it takes by default.
MEASURES = {
    "judge": ("Measure everything published: the judge and other rules on the same streams.", 200),
    "rollout": ("Simulate whole rollouts: false rollbacks, bad releases promoted, failures caused, time.", 200),
    "schedule": ("Compare fixed and automatic weights: time of a healthy version, cost of a bad one.", 400),
    "late": ("Break a canary late: time to detect it after a quiet period.", 400),
    "detect": (
        "Stay at one weight: failures until a bad canary is detected, at an equal share of false rollbacks.",
        200,
    ),
    "safe": ("Run a canary at the bad limit: how often it is called safe.", 400),
    "wald": ("Count the calls until harm is proved, and compare them with Wald's bound.", 200),
    "share": ("Vary the canary's true share while both versions fail together.", 400),
    "signals": ("Slow a canary down: time until calls slower than stable's quantiles reveal it.", 200),
    "world": ("Lead rollouts where the world breaks the judge: with and without the rule that answers it.", 200),
    "depend": ("Violate the assumptions: failures that come together, instances that differ.", 400),
}


def _declare(name: str, summary: str, default_runs: int) -> None:
    lines = f"foundry-rollouts bench {name}", f"foundry-rollouts bench {name} --runs 50 --seed 7 --output csv"

    @bench.command(name, cls=Command, help=summary, epilog=examples(*lines))
    def command(
        runs: RunsOption = default_runs,
        seed: SeedOption = 1,
        rule: RuleOption = None,
        scalar: ScalarOption = False,
        output: FormOption = Form.TABLE,
    ) -> None:
        _needs_numpy()
        from foundry_rollouts.bench.report import Options

        options = Options(runs, seed, tuple(rule or ()), is_scalar=scalar, progress=_progress())
        report: Report = import_module(f"foundry_rollouts.bench.measures.{name}").measure(options)
        _show(report, output)


for _name, (_summary, _runs) in MEASURES.items():
    _declare(_name, _summary, _runs)


@bench.command(
    "pages", cls=Command, epilog=examples("foundry-rollouts bench pages", "foundry-rollouts bench pages --moving 1000")
)
def pages(
    agents: Annotated[int, typer.Option("--agents", min=100, help="Agents in the database.")] = 10_000,
    moving: Annotated[int, typer.Option("--moving", min=1, help="Of these, agents with a rollout in progress.")] = 300,
    runs: Annotated[int, typer.Option("--runs", min=2, help="Requests of each kind.")] = 50,
    seed: SeedOption = 1,
    output: FormOption = Form.TABLE,
) -> None:
    """Serve many agents from a temporary database: time until the first byte of pages and of the API."""
    _needs_numpy()
    from foundry_rollouts.cli.first_byte.crowd import Crowd
    from foundry_rollouts.cli.first_byte.measure import measure

    if moving > agents // 2:
        raise UsageError("at most half of the agents may have a rollout in progress: give more --agents")
    crowd = Crowd(agents, moving, unacknowledged=agents // 500, promoted=agents // 20, seed=seed)
    _show(measure(crowd, runs, _progress()), output)


@bench.command(
    "scale",
    cls=Command,
    epilog=examples(
        "foundry-rollouts bench scale --database postgresql://postgres@localhost/postgres",
        "foundry-rollouts bench scale --rollouts 1000 --part load --part storm",
        "foundry-rollouts bench scale --quick",
    ),
)
def scale(
    database: Annotated[
        str | None, typer.Option("--database", help="A PostgreSQL server that may make databases; none: SQLite.")
    ] = None,
    rollouts: Annotated[
        list[int] | None,
        typer.Option("--rollouts", min=1, help="Rollouts in progress, few before many; repeatable. None: 10 to 10000."),
    ] = None,
    part: Annotated[list[Part] | None, typer.Option("--part", help="Only this part; repeatable.")] = None,
    cadence: Annotated[float, typer.Option("--cadence", min=0.5, help="Seconds between two ticks of a rollout.")] = 30,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Seconds of each window that is measured.")] = 30,
    cloud_ms: Annotated[float, typer.Option("--cloud-ms", min=0, help="Milliseconds until the cloud answers.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Ten rollouts and some seconds: only to see that it runs.")
    ] = False,
    agents: Annotated[int, typer.Option("--agents", min=1, help="Idle agents of the part agents.")] = 50_000,
    seed: SeedOption = 1,
    output: FormOption = Form.TABLE,
) -> None:
    """Run the service with up to 10 000 rollouts against a light Foundry, and compare it with the goals."""
    _needs_numpy()
    from foundry_rollouts.cli.scale.measure import measure

    chosen = frozenset(part or Part)
    plan = Plan(
        tuple(sorted(rollouts or SIZES)), chosen, cadence=cadence, seconds=seconds, cloud_ms=cloud_ms, agents=agents
    )
    plan = replace(QUICK, parts=chosen) if quick else plan
    _show(measure(replace(plan, database=database, seed=seed), _progress()), output)


def _needs_numpy() -> None:
    from importlib.util import find_spec

    if find_spec("numpy") is None:
        raise UsageError("the measurements need numpy, which is not installed: install foundry-rollouts[bench]")


def _progress() -> Callable[[str, float], None]:
    """Return what tells how far it is: one line that changes on a terminal, else a line for each part."""
    reported: dict[str, int] = {}

    def tell(what: str, part: float) -> None:
        done = int(100 * part)
        if reported.get(what) == done:
            return
        reported[what] = done
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{what}: {done}%" if done < 100 else "\r\x1b[K")
        elif done == 100:
            sys.stderr.write(f"measured: {what}\n")
        sys.stderr.flush()

    return tell


def _show(report: "Report", output: Form) -> None:
    match output:
        case Form.JSON:
            typer.echo(json.dumps(report.as_data(), indent=2))
        case Form.CSV:
            typer.echo(report.as_csv(), nl=False)
        case Form.MARKDOWN:
            typer.echo(report.as_markdown(), nl=False)
        case Form.TABLE:
            for table in report.all_tables:
                typer.echo(f"\n{table.title}\n")
                items = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
                show_items(items, [column(title) for title in table.columns], Output.TABLE, "nothing was measured")
