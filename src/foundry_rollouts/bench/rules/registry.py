"""Every rule that leads whole rollouts, as its own documentation sets it up."""

from foundry_rollouts.bench.rules.argo import Argo
from foundry_rollouts.bench.rules.flagger import Flagger
from foundry_rollouts.bench.rules.kayenta import Kayenta
from foundry_rollouts.bench.rules.ours import DEFAULT, STRICT, Ours
from foundry_rollouts.bench.rules.release_manager import ReleaseManager
from foundry_rollouts.bench.simulate import Rule
from foundry_rollouts.core.model.policy import Margin

OURS_STRICT, OURS_DEFAULT = "ours, 1.0x", "ours, default"

FLAGGER_TEN, FLAGGER_FIVE = Flagger("Flagger 10%", 10, 5), Flagger("Flagger 5%", 5, 10)
#: What a person writes who knows what the service fails at: twice as much, and a point.
FLAGGER_TUNED = Flagger("Flagger 10%, tuned per service", 10, 5, tuned=Margin(2.0, 0.01))
ARGO_DOCS = Argo("Argo docs 95%", (20, 40, 60, 80), pause=600.0, interval=300.0, min_success=0.95)
ARGO_QUICK = Argo("Argo 99% 1m", (10, 50), pause=300.0, interval=60.0, min_success=0.99)
RELEASE_MANAGER = ReleaseManager("Cloud Run Release Manager")
KAYENTA = Kayenta("Kayenta 60 min")
OTHERS: tuple[Rule, ...] = (FLAGGER_TEN, FLAGGER_FIVE, FLAGGER_TUNED, ARGO_DOCS, ARGO_QUICK, RELEASE_MANAGER, KAYENTA)


def ours(*, is_scalar: bool = False) -> tuple[Ours, ...]:
    """Return our judge: tolerating nothing and soaking for ten minutes; and the default policy as it is."""
    return (
        Ours(OURS_STRICT, STRICT, is_scalar=is_scalar),
        Ours(OURS_DEFAULT, DEFAULT, DEFAULT.deadline, is_scalar=is_scalar),
    )


def rules(*, is_scalar: bool = False) -> tuple[Rule, ...]:
    """Return all rules, ours first."""
    return (*ours(is_scalar=is_scalar), *OTHERS)
