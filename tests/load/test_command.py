"""`python -m tests.load` as a person or a test runs it: exit status, record and SIGTERM, against a small shop."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

HOME = Path(__file__).parents[2]


class Shop:
    """A storefront that answers as its page says; `broken` makes every search fail."""

    def __init__(self) -> None:
        self.broken = False
        self.orders: list[int] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        application = web.Application()
        application.router.add_get("/", self.page)
        application.router.add_post("/api/accounts", self.made)
        application.router.add_post("/api/session", self.signed_in)
        application.router.add_post("/api/orders", self.ordered)
        application.router.add_get("/api/products/{sku}", self.product)
        application.router.add_get("/api/search", self.searched)
        application.router.add_route("*", "/{path:.*}", self.other)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()

    async def page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text='<script src="/static/shop.0123456789.js"></script>', content_type="text/html")

    async def made(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=409)

    async def signed_in(self, request: web.Request) -> web.StreamResponse:
        response = web.json_response({})
        response.set_cookie("session", "signed")
        return response

    async def ordered(self, request: web.Request) -> web.StreamResponse:
        assert request.cookies["session"] == "signed"
        reference = (await request.json())["reference"]
        self.orders.append(reference)
        return web.json_response({"order": {"reference": reference}}, status=201)

    async def product(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"product": {"sku": request.match_info["sku"]}})

    async def searched(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"products": []}, status=500 if self.broken else 200)

    async def other(self, request: web.Request) -> web.StreamResponse:
        body = {"features": {}, "products": [], "orders": [], "steps": [], "total_cents": 1}
        return web.json_response(body, status=201 if request.path == "/api/feedback" else 200)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def load(shop: Shop, output: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.load", "--url", shop.url, "--rate", "100", "--output", str(output), *more]
    return subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_good_shop_passes_and_every_order_is_told(shop: Shop, tmp_path: Path) -> None:
    running = load(shop, tmp_path / "load.json", "--seconds", "2")
    screen = running.communicate(timeout=60)[0]
    record = json.loads((tmp_path / "load.json").read_text())
    assert running.returncode == 0, screen
    assert record["sent"] == record["answered"] == record["good"] == 200
    assert sorted(shop.orders) == sorted(record["orders"]["acknowledged"]) == record["orders"]["sent"]
    assert record["orders"]["first"] <= min(shop.orders) <= max(shop.orders) <= record["orders"]["last"]


def test_it_ends_on_sigterm_with_its_record(shop: Shop, tmp_path: Path) -> None:
    running = load(shop, tmp_path / "load.json")
    time.sleep(3)
    running.send_signal(signal.SIGTERM)
    screen = running.communicate(timeout=30)[0]
    assert running.returncode == 0, screen
    assert json.loads((tmp_path / "load.json").read_text())["passed"] is True


def test_a_broken_shop_fails_and_is_told_why(shop: Shop, tmp_path: Path) -> None:
    shop.broken = True
    running = load(shop, tmp_path / "load.json", "--seconds", "1")
    screen = running.communicate(timeout=60)[0]
    record = json.loads((tmp_path / "load.json").read_text())
    assert running.returncode == 1
    assert "FAILED" in screen
    assert {failure["route"] for failure in record["failures"]} == {"search"}
    assert record["routes"]["search"]["statuses"] == {"500": record["failed"]}


def test_nobody_there_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.load", "--url", "http://127.0.0.1:9", "--seconds", "1"]
    answer = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert answer.stdout.count("\n") == 1
    assert "http://127.0.0.1:9" in answer.stdout


@pytest.mark.parametrize("more", [["--rate", "0"], ["--resolve", "x"], ["--ca", "/nowhere/ca.pem"]])
def test_a_wrong_argument_is_named(more: list[str]) -> None:
    command = [sys.executable, "-m", "tests.load", "--url", "http://127.0.0.1:9", *more]
    answer = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert more[0] in answer.stderr
