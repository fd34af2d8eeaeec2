"""Files that are read in another process, while the service goes on."""

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from foundry_rollouts.policies.aside import MOST_SECONDS, read_aside
from foundry_rollouts.policies.contents import is_as_seen, seen
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.load import FileRead, read_file
from patience import PATIENCE
from unit.policies.policy_files import PROMPTS, SMALL

ENDLESS = "a: [" + "[]," * 300_000 + "]\n"  #: Minutes of work for the parser.
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"


async def test_another_process_reads_the_same_as_this_one(tmp_path: Path) -> None:
    (tmp_path / "ask.list").write_text(PROMPTS)
    texts = {"good": SMALL + "sources: {probe: {prompts: ask.list}}\n", "broken": "name: [", "empty": "", "ä b": SMALL}
    paths = [tmp_path / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    paths.append(tmp_path / "missing.yaml")
    aside, here = await read_aside(paths), {path: read_file(path) for path in paths}
    assert unmarked(aside) == unmarked(here)
    assert [each.prompts for each in aside.values()] == [each.prompts for each in here.values()]


def unmarked(read: dict[Path, FileRead]) -> dict[Path, tuple[FileRead, list[str]]]:
    """Return what was read, and what the files held, without their marks: those tell how long a file has rested."""
    return {
        path: (
            replace(each, seen=None, named=()),
            [seen.digest for seen in (each.seen, *(before for _, before in each.named)) if seen],
        )
        for path, each in read.items()
    }


async def test_a_file_that_takes_too_long_is_a_problem_of_its_own_and_is_not_read_twice(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml")]
    for path, text in zip(paths, (SMALL, ENDLESS, SMALL), strict=True):
        path.write_text(text)
    first, endless, last = (await read_aside(paths, most_seconds=2)).values()
    assert [each.policy.name for each in (*first.written, *last.written)] == ["small", "small"]
    assert "b.yaml:1:1: this cannot be read, it takes too much time of the processor" in endless.problems[0]
    assert endless.is_unchanged


async def test_who_stops_does_not_wait_for_a_file_that_is_being_read(tmp_path: Path) -> None:
    folder, stop = PolicyFolder(tmp_path), asyncio.Event()
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    watching = asyncio.create_task(folder.watch(stop))
    await asyncio.sleep(1)
    stop.set()
    await asyncio.wait_for(watching, MOST_SECONDS * 0.9)
    assert folder.problems == ()


async def test_a_large_file_takes_next_to_nothing_of_the_service(tmp_path: Path) -> None:
    folder, stop, told = PolicyFolder(tmp_path), asyncio.Event(), asyncio.Event()
    (tmp_path / "bundle.yaml").write_text("---\n".join([MANIFEST] * 490))
    began = time.process_time()
    watching = asyncio.create_task(folder.watch(stop, told.set))
    await asyncio.wait_for(told.wait(), PATIENCE)
    used = time.process_time() - began
    stop.set()
    await watching
    assert len(folder.problems) == 21
    assert used < 0.5


def test_a_thousand_policies_are_held_against_an_agent_in_no_time(tmp_path: Path) -> None:
    policy = "name: p{0}\nagents: [a{0}-*]\nsteps: [{{weight: 100}}]\n"
    for part in range(3):
        documents = [policy.format(number) for number in range(400 * part, 400 * (part + 1))]
        (tmp_path / f"{part}.yaml").write_text("---\n".join(documents))
    folder = PolicyFolder(tmp_path)
    folder.policy_for("other")
    began = time.process_time()
    assert [getattr(folder.policy_for(f"a{number}-x"), "name", None) for number in range(50)] == [
        f"p{number}" for number in range(50)
    ]
    assert time.process_time() - began < 1


def test_a_file_that_has_rested_is_known_by_its_marks(tmp_path: Path) -> None:
    path, at_once = tmp_path / "p.yaml", timedelta(0)
    path.write_text("one")
    assert seen(path).marks == ()
    before, found = seen(path, at_once), path.stat()
    assert before.marks
    assert is_as_seen(path, before, at_once)
    path.write_text("two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert not is_as_seen(path, before, at_once)
