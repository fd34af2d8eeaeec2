"""Counts out of a Prometheus server, by two queries of the policy."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from foundry_rollouts.core.model.agent_names import plain_name, project_in
from foundry_rollouts.core.model.sources import PrometheusConfig
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.polling import CountQuery
from foundry_rollouts.signals.reported import Found, NotWholeError, ReportedCounts, SourceError, timely

#: What to do about a query that finds nothing where something happened.
REMEDY = ": check its labels; where there may be none yet, end it with 'or vector(0)'"


class PrometheusCounter:
    """Asks ``/api/v1/query`` at the end of the window, which the query spans by ``{window}``."""

    config = PrometheusConfig

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def count(self, config: PrometheusConfig, asked: CountQuery) -> ReportedCounts:
        """Return calls, failures and further numbers; each that cannot be had is the error that says why.

        Raises SourceError when neither calls nor failures can be had.
        """
        queries = (("calls", config.calls), ("failures", config.failures), *config.values)
        found = await asyncio.gather(*(self._number(config, word, query, asked) for word, query in queries))
        calls, failures, *values = found
        if isinstance(calls, SourceError) and isinstance(failures, SourceError):
            raise calls
        # A number that no series tells is not there yet.
        numbers = (None if value is Found.NOTHING else value for value in values)
        named = tuple(zip((name for name, _ in config.values), numbers, strict=True))
        return ReportedCounts(calls, failures, is_estimate=True, values=named, remedy=REMEDY)

    async def aclose(self) -> None:
        await self._fetcher.aclose()

    async def _number(
        self, config: PrometheusConfig, word: str, query: str, asked: CountQuery
    ) -> float | Found | SourceError:
        """Return the number that a query gives, or why it gives none."""
        params = {"query": query_of(query, asked), "time": f"{asked.window.end.timestamp():.0f}"}
        try:
            url = f"{config.url.rstrip('/')}/api/v1/query"
            answer = await self._fetcher.json(url, params, config.credentials, asked.agent)
            sample = _sample(answer.document, word)
            return Found.NOTHING if sample is None else _value(sample, asked)
        except SourceError as error:
            return error


def query_of(template: str, asked: CountQuery) -> str:
    """Return the query; what stands in it of the rollout cannot end the string around it."""
    words = {
        "agent": plain_name(asked.agent),
        "project": project_in(asked.agent),
        "version": asked.version,
        "window": f"{asked.seconds}s",
    }
    for word, value in words.items():
        template = template.replace(f"{{{word}}}", value.replace("\\", "\\\\").replace('"', '\\"'))
    return template


def _value(sample: list[Any], asked: CountQuery) -> float:
    """Return the number of a sample that is of the end of the window."""
    try:
        at, value = datetime.fromtimestamp(float(sample[0]), UTC), float(sample[1])
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise NotWholeError("the answer is not Prometheus's") from error
    timely(at, asked.window)
    return value


def _sample(answer: Any, word: str) -> list[Any] | None:
    """Return the pair of time and value of the query for ``word``; None when no series was found."""
    data = answer.get("data") if isinstance(answer, dict) else None
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "scalar" and isinstance(result, list) and len(result) == 2:
        return result
    if kind != "vector" or not isinstance(result, list):
        raise NotWholeError(f"the query of {word} gives {kind or 'no result'}: it has to give one number")
    if len(result) > 1:
        raise NotWholeError(f"the query of {word} gives {len(result)} series: put sum() around it")
    if not result:
        return None
    value = result[0].get("value") if isinstance(result[0], dict) else None
    if not isinstance(value, list) or len(value) != 2:
        raise NotWholeError("the answer is not Prometheus's")
    return value
