"""Which version a call meets: the checks at the endpoint's door, the draw by weight, the birth of sessions."""

from dataclasses import dataclass, replace

from foundry_emulator.errors import (
    RESPONSE_DETAILS,
    FoundryError,
    agent_disabled,
    conflict,
    invalid,
    session_not_found,
)
from foundry_emulator.ids import SESSION_ID
from foundry_emulator.ids import session_id as new_session_id
from foundry_emulator.records import LATEST, AgentKey, AgentRecord, SessionKey, SessionRecord, VersionRecord
from foundry_emulator.routing import drawn, served_rules
from foundry_emulator.world import World


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a caller asked of a new session; None leaves the choice to the service."""

    id: str | None = None
    version: str | None = None
    user: str | None = None


def open_agent(world: World, key: AgentKey) -> AgentRecord:
    """Return the agent if its endpoint takes traffic: 404 when unknown, 403 when disabled."""
    agent = world.state.agent(key)
    if not agent.is_open:
        raise agent_disabled(key.name)
    return agent


def create_session(world: World, agent: AgentRecord, request: SessionRequest) -> SessionRecord:
    """Bind a new session to the requested version, or to one drawn by weight; its sandbox is not started here."""
    if request.id is not None:
        _refuse_id(world, agent.key, request.id)
    _refuse_beyond_quota(world)
    version = version_for(world, agent, request.version)
    now = world.clock.now()
    return world.state.put_session(
        SessionRecord(
            key=SessionKey(agent.key, request.id or new_session_id()),
            version=version.version,
            created_at=now,
            last_accessed_at=now,
            is_pinned=request.version is not None,
            user=request.user,
        )
    )


def version_for(world: World, agent: AgentRecord, wish: str | None) -> VersionRecord:
    """Return the version that is asked for, or one drawn by weight."""
    return _drawn_version(world, agent) if wish is None else _requested_version(world, agent.key, wish)


def session_of(world: World, key: SessionKey) -> SessionRecord:
    """Return a session that exists; one past its thirty days reads as ``expired``."""
    session = world.state.session(key)
    if session is None:
        raise session_not_found(key.id)
    return aged(session, world.clock.now())


def usable_session(world: World, key: SessionKey) -> SessionRecord:
    """Return a session that may still be called."""
    session = session_of(world, key)
    if session.status == "expired":
        raise session_not_found(key.id)
    return session


def aged(session: SessionRecord, now: float) -> SessionRecord:
    """Return the session as it reads at this time."""
    return replace(session, status="expired") if session.expires_at <= now else session


def version_on_resume(world: World, session: SessionRecord) -> str:
    """Return the version a sleeping session wakes on: the one routed now, unless the caller had named its own."""
    agent = world.state.agent(session.key.agent)
    is_kept = session.is_pinned and not world.switches.rebind_pinned
    if is_kept and world.state.has_version(agent.key, session.version):
        return session.version
    return _drawn_version(world, agent).version


def _drawn_version(world: World, agent: AgentRecord) -> VersionRecord:
    rules = served_rules(agent, world.clock.now())
    switches = world.switches
    name = drawn(rules, world.random, ignores_weights=switches.ignore_weights)
    if switches.new_sessions_to and world.state.has_version(agent.key, switches.new_sessions_to):
        name = switches.new_sessions_to
    newest = world.state.latest(agent.key)
    if switches.swap_interrupts and name == LATEST and newest is not None and newest.status == "creating":
        return _provisioned(newest)
    version = world.state.routed(agent.key, name)
    if version is None:
        raise invalid(f"Agent '{agent.key.name}' has no version '{name}' to serve.", code="bad_request")
    return _provisioned(version)


def _requested_version(world: World, agent: AgentKey, name: str) -> VersionRecord:
    if name in ("", LATEST):
        raise invalid("'agent_version' must be a concrete version.", "version_indicator.agent_version")
    return _provisioned(world.state.version(agent, name))


def _provisioned(version: VersionRecord) -> VersionRecord:
    if version.status == "active":
        return version
    if version.status == "failed":
        details, message = "AgentVersionProvisioningFailed", "Agent version failed to provision"
    else:
        details, message = "AgentVersionNotReady", "Agent version is still being provisioned"
    raise FoundryError(400, "bad_request", message, headers={RESPONSE_DETAILS: details})


def _refuse_id(world: World, agent: AgentKey, session_id: str) -> None:
    if not SESSION_ID.fullmatch(session_id):
        raise invalid(f"'{session_id}' is not a valid session id.", "agent_session_id")
    if world.state.session(SessionKey(agent, session_id)) is not None:
        raise conflict(f"Session '{session_id}' already exists")


def _refuse_beyond_quota(world: World) -> None:
    allowed = world.switches.max_sessions
    if allowed is not None and len(world.compute.live()) >= allowed:
        message = f"The quota of {allowed} concurrent sessions is used up."
        raise FoundryError(429, "QuotaExceeded", message, headers={RESPONSE_DETAILS: "QuotaExceeded"})
