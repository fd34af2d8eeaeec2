"""Deletes sessions, versions and agents: compute, files and records go together."""

import asyncio
import shutil
from collections.abc import Sequence

from foundry_emulator.records import AgentKey, SessionRecord, VersionRecord
from foundry_emulator.world import World


def holds_compute(session: SessionRecord) -> bool:
    """Tell whether a session is active in the sense that keeps its agent from being deleted."""
    return session.status in ("creating", "active")


async def delete_sessions(world: World, sessions: Sequence[SessionRecord]) -> None:
    """Delete sessions with their compute and files."""
    await asyncio.gather(*(world.compute.forget(session.key) for session in sessions))
    for session in sessions:
        world.state.drop_session(session.key)


async def delete_version(world: World, version: VersionRecord) -> None:
    """Delete a version with its sessions and its code."""
    await delete_sessions(world, [s for s in world.state.sessions(version.agent) if s.version == version.version])
    folder = world.factory.build_folder(world.state.agent(version.agent).guid, version.version)
    world.state.drop_version(version)
    await asyncio.to_thread(shutil.rmtree, folder.root, ignore_errors=True)


async def delete_agent(world: World, key: AgentKey) -> None:
    """Delete an agent with all it owns."""
    await delete_sessions(world, world.state.sessions(key))
    folder = world.factory.build_folder(world.state.agent(key).guid, "any").root.parent
    world.state.drop_agent(key)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
