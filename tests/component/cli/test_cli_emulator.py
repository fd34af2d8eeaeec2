"""The local Foundry from the command line."""

import asyncio
import ssl
from pathlib import Path

import httpx

from command_line import begin, outcome_of
from patience import PATIENCE


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().rstrip("\n")


async def test_the_emulator_tells_where_it_serves_and_whom_to_trust_and_ends_when_told(tmp_path: Path) -> None:
    process = await begin("emulator", "--listen", "127.0.0.1:0", "--state", "state", "--tls", folder=tmp_path)
    try:
        address = (await said(process)).removeprefix("local Foundry at ").partition("/api/")[0]
        authority = (await said(process)).removeprefix("its authority: ")
        trust = ssl.create_default_context(cafile=tmp_path / authority)
        async with httpx.AsyncClient(base_url=address, verify=trust) as client:
            assert (await client.get("/_emulator/health")).status_code == 200
    finally:
        process.terminate()
    done = await outcome_of(process)
    assert (done.code, done.err) == (0, "")
