"""What a pass over an agent measured and judged: it stands whatever is read again before the decision."""

from dataclasses import dataclass, replace

from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.readiness import Readiness
from foundry_rollouts.core.judging.analysis import Analysis
from foundry_rollouts.core.model.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of one pass, and what it rests on."""

    analysis: Analysis | None
    measurements: tuple[Measurement, ...]
    readiness: Readiness | None
    time_needed: str | None

    def beside(self, seen: Situation) -> Situation:
        """Return what was seen with all that was judged."""
        notes = tuple(dict.fromkeys(each.note for each in self.measurements if each.note))
        judged = replace(seen, analysis=self.analysis, readiness=self.readiness, notes=seen.notes + notes)
        return replace(judged, time_needed=self.time_needed)
