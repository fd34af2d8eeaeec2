"""What is risky begins just beyond what still fits."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import Plan, plan
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.forecast.words import PolicyWarning, span_words
from foundry_rollouts.core.model.policy import Automatic, Gate, GateKind, Judging, Margin, OnNoEvidence, WeightStep
from foundry_rollouts.core.model.sources import Expectation, OutcomesConfig, ProbeConfig, Prompt, Sources

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BEGIN = "proof of the 50% step takes about 11m at 2 rps, after its max of 10m it "
END = ": give it more time, ask more of the probe, or name a coarser bad than 3x + 20pp"


def planned(proof: Any = MINUTE, limit: Any = None, lasts: Any = MINUTE, sees: Any = SECOND, **but: Any) -> Plan:
    """Return a plan of one step of which these things are expected, whatever really would be."""
    steps = (WeightStep(50, min=HOUR), WeightStep(100, min=HOUR))
    plain: dict[str, Any] = {"steps": steps, "judge": Judging(bad=Margin(3, 0.2))}
    policy = a_policy(**(plain | but))
    found = plan(policy, Traffic(2, 0.01))
    step = found.steps[0]
    seen = tuple(replace(each, after=sees if each.regression.name == "+2 points" else None) for each in step.seen)
    step = replace(step, proof=proof, limit=limit, lasts=lasts, seen=seen)
    return replace(found, steps=(step,), until_promoted=lasts)


def test_what_just_fits_raises_no_doubt() -> None:
    assert warnings_of(planned(proof=10 * MINUTE, limit=10 * MINUTE)) == ()
    assert warnings_of(planned(sees=MINUTE, lasts=MINUTE)) == ()
    assert warnings_of(planned(sees=MINUTE, limit=MINUTE, lasts=None)) == ()
    assert warnings_of(planned(lasts=6 * HOUR)) == ()
    assert warnings_of(planned(lasts=None)) == ()


@pytest.mark.parametrize(
    ("on_no_evidence", "then"),
    [
        (OnNoEvidence.HOLD, "holds until then"),
        (OnNoEvidence.PAUSE, "pauses"),
        (OnNoEvidence.ROLLBACK, "goes back, however good the version is"),
        (OnNoEvidence.ADVANCE_IF_NOT_GROSS, "goes on knowing no more than that it is less than 16 points worse"),
    ],
)
def test_a_step_whose_time_is_too_short_is_told_with_what_comes_of_it(on_no_evidence: OnNoEvidence, then: str) -> None:
    short = planned(proof=11 * MINUTE, limit=10 * MINUTE, on_no_evidence=on_no_evidence)
    assert warnings_of(short) == (PolicyWarning(1, BEGIN + then + END),)


def test_a_step_that_is_over_too_soon_to_see_a_regression_is_told() -> None:
    blind = (
        "this policy cannot see a 2 pp regression within its 1m step of 50% at 2 rps ({}): "
        "give it more time, or ask more of the probe"
    )
    assert warnings_of(planned(sees=61 * SECOND)) == (PolicyWarning(1, blind.format("that takes about 1m1s")),)
    assert warnings_of(planned(sees=None)) == (PolicyWarning(1, blind.format("nothing shows it there")),)


def test_a_step_that_nothing_proves_is_told() -> None:
    assert warnings_of(planned(proof=None, lasts=None)) == (
        PolicyWarning(1, "nothing ever proves the step of 50% at 2 rps: add the probe to the sources of each gate"),
    )


def test_an_automatic_step_is_told_of_only_where_nothing_leads_on() -> None:
    sources, gates = Sources(probe=None, outcomes=OutcomesConfig()), (Gate(GateKind.ERROR_RATE, ("outcomes",)),)
    settings = Automatic(20, bake=HOUR)
    climbing = {"steps": settings.steps, "automatic": settings, "sources": sources, "gates": gates}
    assert warnings_of(planned(proof=None, sees=None, **climbing)) == ()
    stuck = warnings_of(planned(proof=None, lasts=None, **climbing))
    assert [warning.sentence.partition(":")[0] for warning in stuck] == ["nothing ever proves the step of 1% at 2 rps"]


def test_a_deadline_is_told_when_it_comes_before_the_end_and_not_when_with_it() -> None:
    late = warnings_of(planned(lasts=6 * HOUR + MINUTE))
    assert late == (
        PolicyWarning(
            None, "promotion takes about 6h1m at 2 rps, the deadline is 6h and then it pauses: give it more time"
        ),
    )
    found = planned()
    for bakes, many in ((6 * HOUR - SECOND, 0), (6 * HOUR, 1)):
        baking = replace(found, steps=(replace(found.steps[0], bakes=bakes),))
        assert len(warnings_of(baking)) == many


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (9.94, "9.9s"),
        (10, "10s"),
        (9.96, "10s"),
        (10.4, "10s"),
        (599, "9m59s"),
        (600.7, "10m"),
        (601, "10m"),
        (630, "10m"),
        (631, "11m"),
    ],
)
def test_a_span_is_said_to_two_places(seconds: float, words: str) -> None:
    assert span_words(timedelta(seconds=seconds)) == words


def test_a_prompt_whose_schema_lies_elsewhere_is_told_for_it_is_never_fetched() -> None:
    prompts = tuple(
        Prompt(name, "hi", Expectation(schema=schema))
        for name, schema in (("here", {"$ref": "#/$defs/a", "$defs": {"a": {}}}), ("elsewhere", {"$ref": "http://a/b"}))
    )
    policy = a_policy(sources=Sources(probe=ProbeConfig(prompts)))
    told = [
        warning.sentence for warning in warnings_of(replace(planned(), policy=policy)) if "prompt" in warning.sentence
    ]
    assert told == [
        "the schema of prompt elsewhere refers to another document, and none is ever fetched, so that the probe proves"
        " nothing: copy that part into the schema"
    ]
