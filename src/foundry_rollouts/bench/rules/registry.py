"""Every rule that leads whole rollouts, as its own documentation sets it up."""

from datetime import timedelta

from foundry_rollouts.bench.processes import ScalarProcesses
from foundry_rollouts.bench.rules.argo import Argo
from foundry_rollouts.bench.rules.flagger import Flagger
from foundry_rollouts.bench.rules.kayenta import Kayenta
from foundry_rollouts.bench.rules.ours import Ours, Proofs, by_steps, vector_proofs
from foundry_rollouts.bench.rules.release_manager import ReleaseManager
from foundry_rollouts.bench.simulate import Rule
from foundry_rollouts.core.model.policy import Judging

OURS_STRICT, OURS_DEFAULT = "ours, 1.0x", "ours, default"

FLAGGER_TEN, FLAGGER_FIVE = Flagger("Flagger 10%", 10, 5), Flagger("Flagger 5%", 5, 10)
ARGO_DOCS = Argo("Argo docs 95%", (20, 40, 60, 80), pause=600.0, interval=300.0, min_success=0.95)
ARGO_QUICK = Argo("Argo 99% 1m", (10, 50), pause=300.0, interval=60.0, min_success=0.99)
RELEASE_MANAGER = ReleaseManager("Cloud Run Release Manager")
KAYENTA = Kayenta("Kayenta 60 min")
OTHERS: tuple[Rule, ...] = (FLAGGER_TEN, FLAGGER_FIVE, ARGO_DOCS, ARGO_QUICK, RELEASE_MANAGER, KAYENTA)


def ours(*, is_scalar: bool = False) -> tuple[Ours, ...]:
    """Return our judge: tolerating nothing and soaking for ten minutes; and with the defaults of a policy."""
    proofs: Proofs = ScalarProcesses if is_scalar else vector_proofs
    return (
        Ours(OURS_STRICT, by_steps(timedelta(minutes=10)), proofs=proofs),
        Ours(OURS_DEFAULT, by_steps(timedelta(minutes=5)), Judging(), proofs=proofs),
    )


def rules(*, is_scalar: bool = False) -> tuple[Rule, ...]:
    """Return all rules, ours first."""
    return (*ours(is_scalar=is_scalar), *OTHERS)
