"""Bodies up to a size, requests up to a number: refused before the app sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tidegate.stores.server_limits import Limits


class Echo:
    """An app that reads a body, waits until it may go on, and answers with the body's length."""

    def __init__(self) -> None:
        self.arrived = asyncio.Semaphore(0)
        self.goes_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self.arrived.release()
        await self.goes_on.wait()
        await Response(str(len(body)))(scope, receive, send)


def client(echo: Echo, **limits: Any) -> httpx.AsyncClient:
    """Return a client of an app behind limits."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(Limits(echo, **limits)), base_url="http://limits")


def run(conversation: Callable[[Echo], Awaitable[None]]) -> None:
    """Run a conversation with an app."""

    async def held() -> None:
        await conversation(Echo())

    asyncio.run(held())


def test_one_request_too_many_is_told_when_to_come_back() -> None:
    async def conversation(echo: Echo) -> None:
        async with client(echo, requests=2) as asking:
            first = [asyncio.create_task(asking.post("/", content=b"12")) for _ in range(2)]
            for _ in first:
                await echo.arrived.acquire()
            refused = await asking.post("/", content=b"12")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json() == {"detail": "2 requests are being answered."}
            echo.goes_on.set()
            assert [(await one).text for one in first] == ["2", "2"]
            assert (await asking.post("/", content=b"123")).text == "3"

    run(conversation)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused_announced_or_not(announced: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 512 * 1024

    async def conversation(echo: Echo) -> None:
        echo.goes_on.set()
        async with client(echo, size=2**20) as asking:
            refused = await asking.post("/", content=b"x" * (2**20 + 1) if announced else pieces())
            assert refused.status_code == 413
            assert refused.json() == {"detail": "The body is larger than 1 MiB. Send it in several requests."}
            assert (await asking.post("/", content=b"x" * 2**20)).text == str(2**20)

    run(conversation)


@pytest.mark.parametrize(("path", "status"), [("/feast/push", 200), ("/feastings", 413), ("/events", 413)])
def test_what_has_limits_of_its_own_is_let_through(path: str, status: int) -> None:
    async def conversation(echo: Echo) -> None:
        echo.goes_on.set()
        async with client(echo, size=1, elsewhere="/feast") as asking:
            assert (await asking.post(path, content=b"12")).status_code == status

    run(conversation)
