"""A client of the recommendation API, for services: `Client`, and `AsyncClient` with the same methods as coroutines.

    with Client("http://recommendations:8080", key="...", fallback=["bestseller-1", "bestseller-2"]) as client:
        answer = client.recommend(user_id="anna", k=10, surface="home")
        client.send(event("click", answer.items[0].item_id, user_id="anna", request_id=answer.request_id))

One file to copy; it needs httpx. A page never waits longer than `timeout`: when the API is away, slow or overloaded,
the answer is the list `fallback`. Events are sent again until they are acknowledged or `tries` are used up: `event`
gives each its id and time, so that the API counts it once, when it happened.
"""

import random
import time
import uuid
from asyncio import sleep as async_sleep
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
AGAIN = (429, 502, 503, 504)  # the same request may succeed later
MAX_EVENTS = 1000  # in one request
Steps = Generator[httpx.Request | float, httpx.Response | httpx.TransportError | None, T]


class ApiError(Exception):
    """The API refused a request, or could not be reached for events. status: None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Item:
    """One place of an answer; `raw` has all fields of the API."""

    item_id: str
    title: str = ""
    score: float = 0.0
    source: str = "client"
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Items, best first. request_id: send it with the events that follow; None: the list is the client's `fallback`."""

    items: list[Item]
    request_id: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def fallback(self) -> bool:
        """Whether the API did not answer in time and this is the client's own list."""
        return self.request_id is None


@dataclass(frozen=True)
class Sent:
    """What became of events. rejected: index and reason of each that the API refused for good."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


def event(name: str, item_id: str, **fields: Any) -> dict[str, Any]:
    """Make an event that can be sent twice and counts once.

    fields: user_id or anonymous_id, and request_id, value, as the API documents them.
    """
    now = datetime.now(UTC).isoformat()
    made = {"event_id": str(uuid.uuid4()), "event": name, "item_id": item_id, "timestamp": now, **fields}
    return {key: value for key, value in made.items() if value is not None}


class _Calls:
    """What both clients share: requests, and what answers mean. A step is a request to send or seconds to wait."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 0.5,
        event_timeout: float = 5.0,
        tries: int = 4,
        fallback: Sequence[str] = (),
    ) -> None:
        """timeout: seconds that a list may take in all. event_timeout: of one try to send events; tries: how many."""
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._timeout, self._event_timeout, self._tries = timeout, event_timeout, tries
        self._fallback = list(fallback)

    def _post(self, path: str, body: Any, timeout: float) -> httpx.Request:
        extensions = {"timeout": httpx.Timeout(timeout).as_dict()}
        return httpx.Request("POST", self._url + path, json=body, headers=self._headers, extensions=extensions)

    def _list(self, path: str, body: dict[str, Any], excluded: Sequence[str]) -> Steps[Answer]:
        """Ask for a list until the time is used up; twice at most, so that an overload does not double itself."""
        until = time.monotonic() + self._timeout
        for _ in range(2):
            left = until - time.monotonic()
            if left <= 0:
                break
            got = yield self._post(path, body, left)
            if isinstance(got, httpx.Response) and got.status_code == 200:
                content = got.json()
                items = [Item(i["item_id"], i["title"], i["score"], i["source"], i) for i in content["items"]]
                return Answer(items, content["request_id"], content)
            if isinstance(got, httpx.Response) and got.status_code < 500 and got.status_code not in AGAIN:
                raise _refused(got)
            if isinstance(got, httpx.Response) and got.status_code in AGAIN:
                break  # it said that it is overloaded
        names = [name for name in self._fallback if name not in excluded]
        return Answer([Item(name) for name in names[: body.get("k", 10)]])

    def _recommend(self, fields: dict[str, Any]) -> Steps[Answer]:
        return self._list("/v1/recommend", fields, fields.get("exclude_ids", ()))

    def _similar(self, item_id: str, fields: dict[str, Any]) -> Steps[Answer]:
        body = {"item_id": item_id, **fields}
        return self._list("/v1/similar", body, [item_id, *fields.get("exclude_ids", ())])

    def _send(self, events: Sequence[dict[str, Any]]) -> Steps[Sent]:
        """Send events, a thousand in one request, until each is acknowledged."""
        total = Sent()
        for start in range(0, len(events), MAX_EVENTS):
            got = yield from self._until_acknowledged(list(events[start : start + MAX_EVENTS]))
            refused = [{**one, "index": one["index"] + start} for one in got["rejected"]]
            total = Sent(
                total.accepted + got["accepted"], total.duplicates + got["duplicates"], total.rejected + refused
            )
        return total

    def _until_acknowledged(self, events: list[dict[str, Any]]) -> Steps[dict[str, Any]]:
        said = ""
        for number in range(self._tries):
            got = yield self._post("/v1/events", events, self._event_timeout)
            wait = 0.1 * 2**number * (0.5 + random.random())  # not all clients at once
            if isinstance(got, httpx.Response):
                if got.status_code == 200:
                    content: dict[str, Any] = got.json()
                    return content
                if got.status_code < 500 and got.status_code not in AGAIN:
                    raise _refused(got)
                said = f"status {got.status_code}"
                after = got.headers.get("retry-after", "")
                wait = max(wait, min(float(after), 10.0)) if after.isdigit() else wait
            else:
                said = type(got).__name__
            if number < self._tries - 1:
                yield wait
        raise ApiError(f"events were not acknowledged after {self._tries} tries ({said}); send the same ones again")


def _refused(response: httpx.Response) -> ApiError:
    return ApiError(f"{response.request.url.path}: {response.status_code} {response.text[:500]}", response.status_code)


class Client(_Calls):
    """Blocks; one client may serve many threads."""

    def __enter__(self) -> Self:
        self._http = httpx.Client()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def recommend(self, **fields: Any) -> Answer:
        """Ask for items. fields: user_id or anonymous_id, k, surface, filter, ... of `POST /v1/recommend`."""
        return self._run(self._recommend(fields))

    def similar(self, item_id: str, **fields: Any) -> Answer:
        """Ask for items like an item."""
        return self._run(self._similar(item_id, fields))

    def send(self, *events: dict[str, Any]) -> Sent:
        """Send events. Raises: ApiError: they were refused, or not acknowledged; the same ones may be sent again."""
        return self._run(self._send(events))

    def _run(self, steps: Steps[T]) -> T:
        got: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = steps.send(got)
            except StopIteration as done:
                result: T = done.value
                return result
            got = None
            if isinstance(step, float):
                time.sleep(step)
                continue
            try:
                got = self._http.send(step)
            except httpx.TransportError as error:
                got = error


class AsyncClient(_Calls):
    """The same for asyncio."""

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def recommend(self, **fields: Any) -> Answer:
        """Ask for items. fields: user_id or anonymous_id, k, surface, filter, ... of `POST /v1/recommend`."""
        return await self._run(self._recommend(fields))

    async def similar(self, item_id: str, **fields: Any) -> Answer:
        """Ask for items like an item."""
        return await self._run(self._similar(item_id, fields))

    async def send(self, *events: dict[str, Any]) -> Sent:
        """Send events. Raises: ApiError: they were refused, or not acknowledged; the same ones may be sent again."""
        return await self._run(self._send(events))

    async def _run(self, steps: Steps[T]) -> T:
        got: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = steps.send(got)
            except StopIteration as done:
                result: T = done.value
                return result
            got = None
            if isinstance(step, float):
                await async_sleep(step)
                continue
            try:
                got = await self._http.send(step)
            except httpx.TransportError as error:
                got = error
