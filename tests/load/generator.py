"""Sends requests on schedule over new and kept-alive connections and writes down how each one ended."""

from __future__ import annotations

import asyncio
import datetime
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .record import Answer, Record


@dataclass(frozen=True)
class Request:
    """One request of the mix: what to send, and what a good answer looks like.

    ``check`` gets the body (bytes) and returns None when it is good, else one sentence. ``order`` is the reference of
    a numbered order, which is looked up in the database afterwards.
    """

    route: str
    path: str
    visitor: str
    method: str = "GET"
    json: Any = None
    cookies: dict[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    check: Callable[[bytes], str | None] | None = None
    order: int | None = None


@dataclass(frozen=True)
class Settings:
    """How much load, for how long, and from when on an answer is slow or given up."""

    url: str
    rate: float = 50.0
    seconds: float | None = None
    timeout: float = 10.0
    new_connections: float = 0.3
    slow_seconds: float = 0.5
    seed: int = 21
    ca_path: str | None = None
    resolve: dict[str, str] = field(default_factory=dict)


def _cookies(request: Request) -> str:
    return "; ".join(f"{name}={value}" for name, value in {"visitor": request.visitor, **request.cookies}.items())


class FixedResolver(AbstractResolver):
    """Resolves the names it was given without asking anybody, and every other name as usual."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses
        self.usual = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.addresses:
            return await self.usual.resolve(host, port, family)
        address = ResolveResult(
            hostname=host, host=self.addresses[host], port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [address]

    async def close(self) -> None:
        await self.usual.close()


class Load:
    """One run of the load. ``run`` returns when the time is over or ``stop`` was called and all answers are in."""

    def __init__(self, settings: Settings, requests: Iterator[Request]) -> None:
        self.settings = settings
        self.requests = requests
        self.record = Record(slow_seconds=settings.slow_seconds)
        self.started = 0.0
        self.stopping = asyncio.Event()
        self._began = 0.0
        self._random = random.Random(settings.seed)
        self._running: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Send nothing more; the answers under way are still waited for."""
        self.stopping.set()

    def _tls(self) -> ssl.SSLContext | bool:
        if urlsplit(self.settings.url).scheme != "https":
            return True
        return ssl.create_default_context(cafile=self.settings.ca_path)

    def _session(self, tls: ssl.SSLContext | bool, *, kept: bool) -> aiohttp.ClientSession:
        resolver = FixedResolver(self.settings.resolve)
        connector = (
            # Idle connections are closed by us well before a balancer would, so a lost race is never blamed on it.
            aiohttp.TCPConnector(limit=0, ssl=tls, resolver=resolver, keepalive_timeout=4.0)
            if kept
            else aiohttp.TCPConnector(limit=0, ssl=tls, resolver=resolver, force_close=True)
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout),
        )
        # aiohttp sends an idempotent request again when a kept connection was lost. That would hide what we look for.
        session._retry_connection = False
        return session

    async def ask(self, request: Request) -> dict[str, str]:
        """Send one request outside the schedule, for setting up; return the cookies of a good answer, else raise."""
        async with self._session(self._tls(), kept=False) as session, self._answer(session, request) as response:
            body = await response.read()
            if response.status not in request.statuses:
                raise RuntimeError(f"{request.method} {request.path}: status {response.status}: {body[:200]!r}")
            return {name: morsel.value for name, morsel in response.cookies.items()}

    def _answer(self, session: aiohttp.ClientSession, request: Request) -> Any:
        return session.request(
            request.method,
            self.settings.url.rstrip("/") + request.path,
            json=request.json,
            headers={"Cookie": _cookies(request)},
            allow_redirects=False,
        )

    async def run(self) -> Record:
        tls = self._tls()
        kept, new = self._session(tls, kept=True), self._session(tls, kept=False)
        self.started = time.time()
        self._began = time.monotonic()
        try:
            await self._send_on_schedule(kept, new)
            if self._running:
                await asyncio.wait(self._running, timeout=self.settings.timeout + 5)
        finally:
            await kept.close()
            await new.close()
        return self.record

    async def _send_on_schedule(self, kept: aiohttp.ClientSession, new: aiohttp.ClientSession) -> None:
        number = 0
        while not self.stopping.is_set():
            due = number / self.settings.rate
            if self.settings.seconds is not None and due >= self.settings.seconds:
                return
            wait = self._began + due - time.monotonic()
            if wait > 0:
                try:
                    await asyncio.wait_for(self.stopping.wait(), wait)
                    return
                except TimeoutError:
                    pass
            elif number % 20 == 0:
                await asyncio.sleep(0)  # behind schedule: still let answers be read
            fresh = self._random.random() < self.settings.new_connections
            request = next(self.requests)
            self.record.left(due, time.monotonic() - self._began - due, request.order)
            task = asyncio.create_task(self._send(new if fresh else kept, "new" if fresh else "kept", request, due))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            number += 1

    async def _send(self, session: aiohttp.ClientSession, connection: str, request: Request, due: float) -> None:
        status: int | None = None
        why: str | None = None
        try:
            async with self._answer(session, request) as response:
                body = await response.read()
                status = response.status
            if status not in request.statuses:
                why = f"status {status}: {body[:120].decode('utf-8', 'replace')}"
            elif request.check is not None:
                why = request.check(body)
        except TimeoutError:
            why = f"no answer within {self.settings.timeout:g} s"
        except (aiohttp.ClientError, OSError) as error:
            why = f"{type(error).__name__}: {error}"
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # the check itself broke
            why = f"the answer could not be checked: {type(error).__name__}: {error}"
        moment = datetime.datetime.fromtimestamp(self.started + due, datetime.UTC)
        answer = Answer(
            time=moment.isoformat(timespec="milliseconds"),
            second=round(due, 3),
            route=request.route,
            method=request.method,
            path=request.path,
            visitor=request.visitor,
            connection=connection,
            status=status,
            why=why,
            seconds=time.monotonic() - self._began - due,
        )
        self.record.ended(answer, request.order)
