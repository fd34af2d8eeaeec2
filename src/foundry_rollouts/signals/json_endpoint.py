"""Counts out of any address that answers with JSON: the policy says where in it they stand."""

from typing import Any
from urllib.parse import quote

from foundry_rollouts.core.model.agent_names import plain_name, project_in
from foundry_rollouts.core.model.sources import HttpConfig
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.polling import CountQuery
from foundry_rollouts.signals.reported import NotWholeError, ReportedCounts, SourceError


class HttpCounter:
    """Gets the address for each version and window."""

    config = HttpConfig

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def count(self, config: HttpConfig, asked: CountQuery) -> ReportedCounts:
        """Return what the pointers point at, each with its own error. Raises SourceError."""
        answer = await self._fetcher.json(url_of(config.url, asked), {}, config.credentials, asked.agent)
        if self._fetcher.budget.now() - answer.age < asked.window.end:
            raise NotWholeError(f"comes out of a cache, {answer.age.total_seconds():g} s old: the window ended later")
        values = tuple((name, _tried(pointer, answer.document)) for name, pointer in config.values)
        return ReportedCounts(
            _tried(config.calls, answer.document), _tried(config.failures, answer.document), values=values
        )

    async def aclose(self) -> None:
        await self._fetcher.aclose()


def url_of(template: str, asked: CountQuery) -> str:
    """Return the address; what stands in it of the rollout cannot change its shape."""
    words = {
        "agent": plain_name(asked.agent),
        "project": project_in(asked.agent),
        "version": asked.version,
        "window": str(asked.seconds),
        "since": asked.window.start.isoformat(),
        "until": asked.window.end.isoformat(),
    }
    for word, value in words.items():
        template = template.replace(f"{{{word}}}", quote(value, safe=""))
    return template


def found_at(pointer: str, document: Any) -> Any:
    """Return what the JSON pointer (RFC 6901) ``pointer`` points at. Raises SourceError when nothing is there."""
    node = document
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise NotWholeError(f"the answer has nothing at {pointer}")
    return node


def _tried(pointer: str, document: Any) -> Any:
    """Return what is found, or the error that says that there is nothing."""
    try:
        return found_at(pointer, document)
    except SourceError as error:
        return error
