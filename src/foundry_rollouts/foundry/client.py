"""The client of one project: what the controller and the sources ask of the cloud, and every resource beside it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.foundry.agents import Agents
from foundry_rollouts.foundry.auth import TokenSource
from foundry_rollouts.foundry.deploy import Deploy
from foundry_rollouts.foundry.download import Downloads
from foundry_rollouts.foundry.drafts import Drafts
from foundry_rollouts.foundry.endpoint import Endpoint
from foundry_rollouts.foundry.files import SessionFiles
from foundry_rollouts.foundry.http import OnAnswer, OnRequest, Transport, TransportOptions, Wire
from foundry_rollouts.foundry.invocations import Invocations, Question
from foundry_rollouts.foundry.logs import Logs
from foundry_rollouts.foundry.long_calls import LongCalls
from foundry_rollouts.foundry.polling import Pace
from foundry_rollouts.foundry.responses import Responses
from foundry_rollouts.foundry.retry import DEFAULT, RetryBudget
from foundry_rollouts.foundry.sessions import WAKING, Sessions
from foundry_rollouts.foundry.settings import lost
from foundry_rollouts.foundry.stand_ins import StandIns, refuse_other_version
from foundry_rollouts.foundry.versions import Versions
from foundry_rollouts.ports import HOSTED, PROMPT, AgentSeen, Answer, LogLine, SessionSeen, VersionSeen

if TYPE_CHECKING:
    from foundry_rollouts import ports

MOST_VERSIONS = 100  #: How many versions of an agent are listed when the nearest to one is searched.


@dataclass(frozen=True, slots=True)
class Api:
    """Every resource of the agents, one object each."""

    agents: Agents
    versions: Versions
    deploy: Deploy
    endpoint: Endpoint
    sessions: Sessions
    invocations: Invocations
    logs: Logs
    drafts: Drafts
    downloads: Downloads
    files: SessionFiles
    long_calls: LongCalls
    responses: Responses

    @classmethod
    def over(cls, transport: Transport, retries: RetryBudget) -> Self:
        versions, downloads = Versions(transport), Downloads(transport)
        deploy = Deploy(transport, versions)
        return cls(
            agents=Agents(transport),
            versions=versions,
            deploy=deploy,
            endpoint=Endpoint(transport),
            sessions=Sessions(transport, Pace(WAKING.limit, first=retries.slow, every=retries.slow)),
            invocations=Invocations(transport),
            logs=Logs(transport),
            drafts=Drafts(versions, deploy, downloads),
            downloads=downloads,
            files=SessionFiles(transport),
            long_calls=LongCalls(transport),
            responses=Responses(transport),
        )


class FoundryClient:
    """The agents of one project: answers the ports ``Cloud`` and ``Sessions``.

    ``endpoint`` is ``https://{account}.services.ai.azure.com/api/projects/{project}``. Every method raises
    CloudError when the cloud refuses or is away, UsageError for what must not be sent at all.
    """

    def __init__(
        self,
        endpoint: str,
        credential: TokenSource,
        on_request: OnRequest | None = None,
        retries: RetryBudget = DEFAULT,
        wire: Wire | None = None,
    ) -> None:
        self._transport = Transport(endpoint, credential, TransportOptions(on_request, retries, wire=wire))
        self.api = Api.over(self._transport, retries)
        self._stand_ins = StandIns()
        self._kinds: dict[str, str] = {}  #: Of each agent, as it was last read; who has a rollout was.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()

    def on_answer(self, hears: OnAnswer) -> None:
        """Pass each answer and its headers to ``hears``, refusals included."""
        self._transport.on_answer = hears

    async def agents(self) -> AsyncGenerator[AgentSeen, None]:
        """Yield every hosted agent and every prompt agent; a hundred of them cost one request."""
        async with aclosing(self.api.agents.all()) as agents:
            async for agent in agents:
                self._note(agent.seen)
                if agent.seen.kind in {HOSTED, PROMPT}:
                    yield agent.seen

    async def agent(self, name: str) -> AgentSeen:
        seen = (await self.api.agents.one(name)).seen
        self._note(seen)
        return seen

    def _note(self, seen: AgentSeen) -> None:
        if seen.latest is not None:
            self._kinds[seen.name] = seen.latest.kind

    async def version(self, agent: str, version: str) -> VersionSeen:
        return (await self.api.versions.one(agent, version)).seen

    async def versions(self, agent: str) -> Sequence[VersionSeen]:
        """Return the newest versions of ``agent``, newest first, a hundred at most."""
        found: list[VersionSeen] = []
        async with aclosing(self.api.versions.all(agent)) as versions:
            async for version in versions:
                found.append(version.seen)
                if len(found) == MOST_VERSIONS:
                    break
        return found

    async def route(self, agent: str, routing: Routing) -> bool:
        """Send the weights of ``routing`` and nothing else; read them back to see whether they hold.

        Returns whether every try was answered: one that was not may still be applied later.
        """
        return await self.api.endpoint.route(agent, routing)

    async def put_back(
        self, agent: str, routing: Routing, before: str, after: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Put back what the endpoint had ``before`` and lacks ``after``; return its names, and what is still lost."""
        if not (missing := lost(before, after)):
            return (), ()
        await self.api.endpoint.configure(agent, routing, missing)
        still = lost(before, (await self.agent(agent)).settings)
        return tuple(missing), tuple(still)

    async def enable(self, agent: str) -> None:
        await self.api.endpoint.enable(agent)

    async def disable(self, agent: str) -> None:
        await self.api.endpoint.disable(agent)

    async def sessions(self, agent: str) -> AsyncGenerator[SessionSeen, None]:
        if self._kinds.get(agent) == PROMPT:
            return
        async with aclosing(self.api.sessions.all(agent)) as sessions:
            async for session in sessions:
                yield session

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen:
        """Open a session of that id on ``version``; one that is open already will do. Of a prompt agent, a stand-in."""
        if self._kinds.get(agent) == PROMPT:
            return self._stand_ins.open(agent, version, session)
        return await self.api.sessions.create(agent, version, session)

    async def stop_session(self, agent: str, session: str) -> None:
        await self.api.sessions.stop(agent, session)

    async def delete_session(self, agent: str, session: str) -> None:
        if not self._stand_ins.close(agent, session):
            await self.api.sessions.delete(agent, session)

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        """Send ``question`` once, text by Responses, anything else by Invocations, and read the answer to its end.

        Any HTTP status is an Answer. AnswerTimeoutError (a CloudError that is not ours, and a TimeoutError) tells
        that none came in time; ``refusal.code`` of any other is ``connection`` or ``dropped``.
        """
        addressed = self._stand_ins.addressed(Question(agent, question, session))
        answer = await self.api.invocations.read(addressed, timeout, stream=stream)
        refuse_other_version(addressed, answer)
        return answer

    async def ask_version(
        self, agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        """Send ``question`` once, as ``ask`` does, in a new session that ``version`` is asked to serve.

        The header that asks for it is not for prompt agents; a reference names the version there.
        """
        is_prompt = self._kinds.get(agent) == PROMPT
        names = {"version": version} if is_prompt else {"version_override": version}
        asked = Question(agent, question, **names)
        return await self.api.invocations.read(asked, timeout, stream=stream)

    async def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        """Follow a session's log until the server ends the stream; the caller asks again."""
        async with aclosing(self.api.logs.lines(agent, version, session)) as lines:
            async for line in lines:
                yield line


if TYPE_CHECKING:

    def _answers_every_port(client: FoundryClient) -> tuple[ports.Cloud, ports.Sessions, ports.Catalogue]:
        return client, client, client
