"""Policy files that are watched: what changes is in force without a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from foundry_rollouts.policies.folder import PolicyFolder
from patience import PATIENCE
from unit.policies.policy_files import PROMPTS, SMALL, a_file, names


@asynccontextmanager
async def watched(folder: PolicyFolder) -> AsyncIterator[asyncio.Event]:
    """Watch ``folder``; the event is set at each reload that tells something."""
    stop, told = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(folder.watch(stop, told.set))
    try:
        yield told
    finally:
        stop.set()
        await asyncio.wait_for(watching, PATIENCE)


async def until_told(told: asyncio.Event) -> None:
    await asyncio.wait_for(told.wait(), PATIENCE)
    told.clear()


async def test_a_change_is_in_force_without_a_restart(tmp_path: Path) -> None:
    path = a_file(tmp_path, "a", "a")
    folder = PolicyFolder(tmp_path)
    async with watched(folder) as told:
        # Changed before or after the watch has begun: it is seen either way.
        path.write_text(path.read_text().replace("name: a", "name: changed"))
        await until_told(told)
        assert names(folder) == ["changed"]
        path.write_text("name: [")
        await until_told(told)
        assert names(folder) == ["changed"]
        assert folder.problems


async def test_the_symlink_swap_of_a_mounted_config_map_is_seen(tmp_path: Path) -> None:
    for number, name in ((1, "old"), (2, "new")):
        (tmp_path / f"..{number}").mkdir()
        a_file(tmp_path / f"..{number}", name, "*").rename(tmp_path / f"..{number}" / "policy.yaml")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    folder = PolicyFolder(tmp_path)
    async with watched(folder) as told:
        (tmp_path / "..tmp").symlink_to("..2")
        (tmp_path / "..tmp").replace(tmp_path / "..data")
        await until_told(told)
    assert names(folder) == ["new"]


async def test_a_single_file_is_watched_through_its_folder_and_prompts_through_theirs(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    prompts = tmp_path / "prompts/ask.list"
    prompts.write_text(PROMPTS)
    path = tmp_path / "the-policy"
    path.write_text(SMALL + "sources: {probe: {prompts: prompts/ask.list}}\n")
    folder = PolicyFolder(path)
    async with watched(folder) as told:
        prompts.write_text("- {name: other, input: hi}\n")
        await until_told(told)
    probe = folder.named("small").sources.probe
    assert probe is not None
    assert [prompt.name for prompt in probe.prompts] == ["other"]
