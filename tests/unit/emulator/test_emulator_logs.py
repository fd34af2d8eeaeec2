"""The log tail: what a reader sees first, what comes after, when it ends."""

import asyncio
import json

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.logs import LogTail


def messages_of(frames: list[bytes]) -> list[str]:
    return [json.loads(frame.decode().removeprefix("event: log\ndata: "))["message"] for frame in frames]


async def read(log: LogTail, tail: int = 300) -> list[str]:
    return messages_of([frame async for frame in log.follow(tail)])


async def test_a_reader_of_a_closed_log_sees_the_last_lines_and_ends() -> None:
    log = LogTail(EmulatedClock())
    for number in range(400):
        log.write("stdout", str(number))
    log.close()
    assert await read(log) == [str(number) for number in range(100, 400)]
    assert await read(log, tail=2) == ["398", "399"]


async def test_two_readers_follow_the_same_news_in_order_until_the_log_closes() -> None:
    log = LogTail(EmulatedClock())
    log.write("stdout", "before")
    readers = [asyncio.create_task(read(log)) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(50):
        log.write("stderr", str(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    log.close()
    assert await asyncio.gather(*readers) == [["before", *(str(number) for number in range(50))]] * 2


async def test_lines_that_are_written_while_a_slow_reader_takes_its_time_come_too() -> None:
    log, lines = LogTail(EmulatedClock()), []
    log.write("stdout", "0")
    async for frame in log.follow():
        lines.append(frame)
        if len(lines) <= 500:
            log.write("stdout", str(len(lines)))
            if len(lines) == 1:
                for _ in range(400):
                    log.write("stderr", "many")
        else:
            log.close()
    told = messages_of(lines)
    assert told.count("many") == 400
    assert [line for line in told if line != "many"] == [str(number) for number in range(501)]


async def test_silence_is_said_every_minute_and_ends_the_stream_after_two() -> None:
    log = LogTail(EmulatedClock(speed=2000))
    log.write("stdout", "hello")
    assert await read(log) == ["hello", "No logs since last 60 seconds"]


async def test_a_talkative_stream_ends_after_half_an_hour() -> None:
    clock = EmulatedClock(speed=10_000)
    log = LogTail(clock)
    started = clock.now()

    async def talk() -> None:
        while True:
            log.write("stdout", "again")
            await clock.sleep(30)

    talker = asyncio.create_task(talk())
    lines = await read(log)
    talker.cancel()
    assert clock.now() - started >= 30 * 60
    assert set(lines) == {"again"}
