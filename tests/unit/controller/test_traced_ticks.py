"""A tick as a trace: what it asked, what it wrote, and what it decided, without a value of anybody's."""

from opentelemetry.sdk.trace import ReadableSpan

from small_world import SmallWorld
from traced import traces


def parent_of(span: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> ReadableSpan | None:
    parents = {each.context.span_id: each for each in spans if each.context}
    return parents[span.parent.span_id] if span.parent else None


async def test_a_tick_is_one_trace_with_its_sources_and_statements(world: SmallWorld) -> None:
    await world.begin()
    with traces() as kept:
        rollout = await world.run(2)
    ticks = [span for span in kept.spans if span.name == "tick"]
    assert len(ticks) == 2
    said = dict(ticks[1].attributes or {})
    assert (
        said.items()
        >= {
            "foundry_rollouts.agent": rollout.agent,
            "foundry_rollouts.rollout": rollout.id,
            "foundry_rollouts.canary": "2",
            "foundry_rollouts.stable": "1",
            "foundry_rollouts.because": rollout.because,
            "foundry_rollouts.phase": rollout.phase.value,
        }.items()
    )
    assert {"foundry_rollouts.step", "foundry_rollouts.decision"} <= said.keys()
    (source,) = {span.name for span in kept.spans if span.name.startswith("source ")}
    assert parent_of(kept.named(source), kept.spans) in ticks
    statements = [span for span in kept.spans if "db.system.name" in (span.attributes or {})]
    assert all(parent_of(span, kept.spans) is not None for span in statements)
    assert {(span.attributes or {})["db.operation.name"] for span in statements} >= {"SELECT", "INSERT", "UPDATE"}
    assert {(span.attributes or {})["db.system.name"] for span in statements} == {"sqlite"}
    assert {key for span in statements for key in span.attributes or {}} <= {
        "db.system.name",
        "db.operation.name",
        "db.collection.name",
    }


async def test_what_is_done_outside_of_a_trace_makes_none(world: SmallWorld) -> None:
    with traces() as kept:
        await world.begin()
    assert kept.spans == ()
