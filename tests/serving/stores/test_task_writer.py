"""The writer of a server, with a server of a few lines: commits of a bounded size, and one that hangs or fails."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from serving.stores import task_writer
from serving.stores.job import Job
from serving.stores.protocol import StoreError, UnknownOutcomeError
from serving.stores.task_writer import TaskWriter
from tests.serving.stores.test_jobs import nothing

pytestmark = pytest.mark.anyio


def rows_of(jobs: list[Job[Any]]) -> list[int]:
    return [job.rows for job in jobs]


def server(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[list[Job[Any]]], Any] = rows_of
) -> tuple[TaskWriter, list[int]]:
    """A writer, and how many writes were in each commit."""
    sizes: list[int] = []

    async def transaction(jobs: list[Job[Any]]) -> list[Any]:
        sizes.append(len(jobs))
        found = answer(jobs)
        return list(await found if asyncio.iscoroutine(found) else found)

    monkeypatch.setattr(task_writer, "MAX_ROWS", 2)
    monkeypatch.setattr(task_writer, "WRITE_S", 0.05)
    return TaskWriter(transaction), sizes


async def test_one_commit_of_a_server_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sizes = server(monkeypatch)
    assert await asyncio.gather(*(made.write(Job[int](nothing)) for _ in range(5))) == [1] * 5
    assert await made.write(Job[int](nothing, rows=3)) == 3
    assert sizes == [2, 2, 1, 1]
    await made.close()


async def test_what_waits_when_a_server_is_closed_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = server(monkeypatch)
    waiting = [asyncio.create_task(made.write(Job[int](nothing))) for _ in range(5)]
    await asyncio.sleep(0)
    await made.close()
    assert await asyncio.gather(*waiting) == [1] * 5


async def test_of_two_writes_to_a_server_the_good_one_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(jobs: list[Job[Any]]) -> list[int]:
        if any(job.rows == 0 for job in jobs):
            raise ValueError("no such row")
        return rows_of(jobs)

    made, sizes = server(monkeypatch, answer)
    sent = [made.write(Job[int](nothing, rows=rows)) for rows in (0, 1)]
    refused, stored = await asyncio.gather(*sent, return_exceptions=True)
    assert (str(refused), stored, sizes) == ("no such row", 1, [2, 1, 1])
    await made.close()


async def test_a_server_that_fails_fails_all_of_a_commit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: list[Job[Any]]) -> None:
        raise StoreError("connection refused")

    made, sizes = server(monkeypatch, answer)
    said = await asyncio.gather(*(made.write(Job[int](nothing)) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in said] == [StoreError] * 2
    assert sizes == [2]
    await made.close()


async def test_after_a_server_that_hung_the_next_write_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sizes = server(monkeypatch, lambda jobs: asyncio.sleep(60) if len(sizes) == 1 else rows_of(jobs))
    with pytest.raises(UnknownOutcomeError):
        await made.write(Job[int](nothing, seconds=0.05))
    assert await made.write(Job[int](nothing, seconds=1.0)) == 1
    await made.close()


async def test_closing_waits_for_no_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = server(monkeypatch, lambda _: asyncio.sleep(60))
    others = asyncio.all_tasks()
    waiting = asyncio.create_task(made.write(Job[int](nothing)))
    await asyncio.sleep(0)
    await made.close()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() < others, "the writing task has ended"
