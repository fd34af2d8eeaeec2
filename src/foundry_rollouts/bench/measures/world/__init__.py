"""The world as it is: every way in which it broke the judge, with and without the rule that answers it.

Whole rollouts under the preset ``standard`` as it stands: 10, 50, 100, ticks every ten seconds, one source of users and
the probe, unless a row says otherwise. Section 10 of the page on the statistics names the rules.
"""

from collections.abc import Callable

from foundry_rollouts.bench.measures.world import clusters, hanging, outages, safety, splits, starts
from foundry_rollouts.bench.measures.world.trial import NAME, Part
from foundry_rollouts.bench.report import Options, Report, Table

#: By the number of the rule; ``--rule 10.3`` measures that one alone.
RULES: dict[str, tuple[Callable[[Options], Part], ...]] = {
    "10.1": (outages.unheard,),
    "10.2": (outages.over_at_full,),
    "10.3": (outages.at_full,),
    "10.4": (outages.half_way, outages.around_steps),
    "10.5": (clusters.sandboxes,),
    "10.6": (clusters.sessions,),
    "10.7": (hanging.hanging,),
    "10.8": (safety.safety,),
    "10.9": (starts.healthy,),
    "10.10": (starts.bad_hour,),
    "10.11": (starts.cold,),
    "10.12": (splits.splits,),
}
COLUMNS = ("rule", "what happens", "figure", "by no rule of these", "without the rule", "with all")

__all__ = ["NAME", "RULES", "measure"]


def measure(options: Options) -> Report:
    """Measure each rule that is asked for."""
    part = Part()
    for law, measures in RULES.items():
        if not options.rules or law in options.rules:
            for each in measures:
                part += each(options)
    rows = [(row.law, row.scene, row.figure, row.before, row.without, row.cured) for row in part.rows]
    return Report(part.results, [Table("The world as it is", COLUMNS, rows)], part.goals)
