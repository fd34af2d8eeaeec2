"""Counts out of a Prometheus server, by two queries of the policy."""

import math
from datetime import UTC, datetime
from typing import Any

from foundry_rollouts.core.sources import PrometheusPlan, PulledPlan
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.numbers import Told, TroubleError
from foundry_rollouts.signals.pulled import Asked


class PrometheusCounter:
    """Asks ``/api/v1/query`` at the end of the window, which the query spans by ``{window}``."""

    name = "prometheus"

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def count(self, plan: PulledPlan, asked: Asked) -> Told:
        """Return calls and failures; a query that finds no series counts nothing. Raises TroubleError."""
        if not isinstance(plan, PrometheusPlan):
            raise TypeError(plan)
        calls, at = await self._value(plan, query_of(plan.calls, asked), asked)
        failures, _ = await self._value(plan, query_of(plan.failures, asked), asked)
        values = [(name, await self._number(plan, query_of(query, asked), asked)) for name, query in plan.values]
        return Told(calls, failures, at, is_estimate=True, values=tuple(values))

    async def aclose(self) -> None:
        await self._fetcher.aclose()

    async def _number(self, plan: PrometheusPlan, query: str, asked: Asked) -> float | None:
        """Return a number that is no count; None where there is no series, and for what is divided by nothing."""
        found = await self._sampled(plan, query, asked)
        return None if found is None or math.isnan(found[0]) else found[0]

    async def _value(self, plan: PrometheusPlan, query: str, asked: Asked) -> tuple[float, datetime]:
        found = await self._sampled(plan, query, asked)
        return (0.0, asked.window.end) if found is None else found

    async def _sampled(self, plan: PrometheusPlan, query: str, asked: Asked) -> tuple[float, datetime] | None:
        params = {"query": query, "time": f"{asked.window.end.timestamp():.0f}"}
        answer = await self._fetcher.json(f"{plan.url.rstrip('/')}/api/v1/query", params, plan.credentials)
        sample = _sample(answer)
        if sample is None:
            return None
        try:
            return float(sample[1]), datetime.fromtimestamp(float(sample[0]), UTC)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise TroubleError("the answer is not Prometheus's") from error


def query_of(template: str, asked: Asked) -> str:
    """Return the query; what stands in it of the rollout cannot end the string around it."""
    for word, value in (("agent", asked.agent), ("version", asked.version), ("window", f"{asked.seconds}s")):
        template = template.replace(f"{{{word}}}", value.replace("\\", "\\\\").replace('"', '\\"'))
    return template


def _sample(answer: Any) -> list[Any] | None:
    """Return the pair of time and value; None when no series was found."""
    data = answer.get("data") if isinstance(answer, dict) else None
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "scalar" and isinstance(result, list) and len(result) == 2:
        return result
    if kind != "vector" or not isinstance(result, list):
        raise TroubleError(f"a query gives {kind or 'no result'}: it has to give one number")
    if len(result) > 1:
        raise TroubleError(f"a query gives {len(result)} series: put sum() around it")
    if not result:
        return None
    value = result[0].get("value") if isinstance(result[0], dict) else None
    if not isinstance(value, list) or len(value) != 2:
        raise TroubleError("the answer is not Prometheus's")
    return value
