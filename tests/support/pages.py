"""Users who ask for one page all the time: a load for the toy, which answers every path with its page and keeps no
orders."""

from __future__ import annotations

import asyncio
import collections
import itertools
import threading
from types import TracebackType
from typing import Any

from tests.load.generator import Load, Request, Settings

from . import fleet

TITLE = b"<title>Storefront</title>"


def _page(body: bytes) -> str | None:
    return None if TITLE in body else f"not the page: {body[:80]!r}"


class Pages:
    """Requests on schedule through one balancer, from `with` to its end; then `sent`, and `failed`: reason → number."""

    def __init__(self, balancer: str = "lb1", rate: float = 40.0) -> None:
        settings = Settings(
            url=f"https://{fleet.FRONT_DOOR}",
            rate=rate,
            resolve={fleet.FRONT_DOOR: fleet.addresses()[balancer]},
            ca_path=str(fleet.AUTHORITY),
        )
        requests = (Request("page", "/", f"visitor-{number}", check=_page) for number in itertools.count())
        self._load = Load(settings, requests)
        self._thread = threading.Thread(target=self._run)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self.sent = 0
        self.failed: collections.Counter[str] = collections.Counter()

    def _run(self) -> None:
        async def run() -> Any:
            self._loop = asyncio.get_running_loop()
            self._begun.set()
            return await self._load.run()

        self.record = asyncio.run(run())

    def __enter__(self) -> Pages:
        self._thread.start()
        assert self._begun.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._load.stop)
        self._thread.join(30)
