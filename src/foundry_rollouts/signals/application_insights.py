"""Counts out of the agents' own telemetry, by KQL; it arrives minutes late, so it is second evidence at most.

Needs the extra ``azure-monitor`` and a credential that may read the Log Analytics workspace. What fails before the
container (424, 429, 403) is not in the telemetry.

``TimeGenerated`` of a request and of a span is when it started, and a call belongs to the window in which it began:
that of its earliest span. One that is not over by the source's delay is not in the telemetry yet, and never counts.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol, TypeVar, cast

from foundry_rollouts.core.model.agent_names import plain_name
from foundry_rollouts.core.model.sources import InsightsConfig
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import CountQuery
from foundry_rollouts.signals.reported import Found, NotWholeError, ReportedCounts, SourceError

T = TypeVar("T")

#: A workspace that takes longer is silent.
LIMIT = timedelta(seconds=20)

#: The spans of one call start within so much of each other.
REACH = timedelta(seconds=10)

#: One row: calls and failures of one version. A call with several spans is one operation.
KQL = """
let agent = {agent}; let asked = {version};
union isfuzzy=true
  (AppRequests),
  (AppDependencies | where tostring(Properties["gen_ai.operation.name"]) == "invoke_agent")
| where TimeGenerated >= datetime({from}) and TimeGenerated < datetime({to})
| extend id = tostring(Properties["gen_ai.agent.id"])
| extend name = coalesce(tostring(Properties["gen_ai.agent.name"]),
    tostring(Properties["azure.ai.agentserver.agent_name"]),
    iff(id contains ":", tostring(split(id, ":")[0]), ""), AppRoleName)
| extend version = coalesce(tostring(Properties["gen_ai.agent.version"]),
    iff(id contains ":", tostring(split(id, ":")[1]), ""))
| where (name == agent or AppRoleName == agent) and version == asked
| extend failed = Success == false or isnotempty(tostring(Properties["error.type"]))
| summarize began = min(TimeGenerated), failed = max(toint(failed)) by OperationId
| where began >= datetime({since}) and began < datetime({until})
| summarize calls = count(), failures = sum(failed)
"""


class LogsQuery(Protocol):
    """What is asked of the client of azure-monitor-query, which waits in a thread."""

    def query_workspace(self, workspace_id: str, query: str, *, timespan: Any, **kwargs: Any) -> Any: ...

    def close(self) -> None: ...


class InsightsCounter:
    """Asks a Log Analytics workspace; ``connect`` makes the client when it is first needed."""

    config = InsightsConfig

    def __init__(self, budget: RateLimiter, connect: Callable[[], LogsQuery], limit: timedelta = LIMIT) -> None:
        self._budget = budget
        self._connect = connect
        self._limit = limit
        self._client: LogsQuery | None = None

    async def count(self, config: InsightsConfig, asked: CountQuery) -> ReportedCounts:
        """Return calls and failures. Raises SourceError."""
        async with self._budget.at(config.workspace).turn(self._limit, asked.agent):
            return _counts_of(await apart(lambda: self._query(config.workspace, asked)))

    async def aclose(self) -> None:
        if self._client is not None:
            await apart(self._client.close)

    def _query(self, workspace: str, asked: CountQuery) -> Any:
        from azure.core.exceptions import AzureError, HttpResponseError

        client = self._connected()
        span = (asked.window.start - REACH, asked.window.end + REACH)
        limit = self._limit.total_seconds()
        try:
            return client.query_workspace(
                workspace, query_of(asked), timespan=span, retry_total=0, connection_timeout=limit, read_timeout=limit
            )
        except HttpResponseError as error:
            code = error.error.code if error.error else None
            raise SourceError(" ".join(filter(None, (f"HTTP {error.status_code}", code)))) from error
        except AzureError as error:
            raise SourceError(f"cannot be reached ({type(error).__name__})") from error

    def _connected(self) -> LogsQuery:
        try:
            self._client = self._client or self._connect()
        except ImportError as error:
            raise SourceError("cannot be asked: install foundry-rollouts[azure-monitor]") from error
        return self._client


def connect() -> LogsQuery:
    """Return the client with the credential of the environment. Raises ImportError without the extra."""
    from azure.identity import DefaultAzureCredential
    from azure.monitor.query import LogsQueryClient

    client: LogsQuery = LogsQueryClient(DefaultAzureCredential())
    return client


def query_of(asked: CountQuery) -> str:
    """Return the query; names stand in it as strings that cannot be left."""
    query = KQL.replace("{agent}", json.dumps(plain_name(asked.agent))).replace("{version}", json.dumps(asked.version))
    since, until = asked.window.start, asked.window.end
    for name, at in (("from", since - REACH), ("to", until + REACH), ("since", since), ("until", until)):
        query = query.replace(f"{{{name}}}", at.isoformat())
    return query


def _counts_of(result: Any) -> ReportedCounts:
    if getattr(result, "partial_error", None) is not None:
        raise NotWholeError("answers in part only")
    tables = getattr(result, "tables", None) or ()
    if not tables or not tables[0].rows:
        raise NotWholeError("the answer holds no counts")
    row = dict(zip(tables[0].columns, tables[0].rows[0], strict=True))
    # The sum over nothing is nothing, not zero: beside calls, nobody wrote down whether they succeeded.
    failures = row.get("failures")
    return ReportedCounts(row.get("calls"), Found.NOTHING if failures is None else failures)


async def apart(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, done in a thread of its own: one that hangs takes no place in a pool of all."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return  # Nobody waits any more.
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        try:
            result: tuple[T | None, BaseException | None] = work(), None
        except BaseException as error:  # noqa: BLE001 - who waits is to see it
            result = None, error
        with suppress(RuntimeError):  # The loop may be gone.
            loop.call_soon_threadsafe(settle, *result)

    threading.Thread(target=run, name="application-insights", daemon=True).start()
    return await done
