"""The load generator against a real server that fails on purpose: each kind of failure must turn the load red."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web

from .generator import Load, Request, Settings
from .orders import compare
from .record import Answer, Record, quantile
from .storefront import WEIGHTS, Mix, has

Handler = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


async def good(request: web.Request, number: int) -> web.StreamResponse:
    return web.json_response({"products": []})


async def error_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    return web.json_response({"error": "on purpose"}, status=500) if number == 7 else await good(request, number)


async def limited_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    return web.Response(status=429) if number == 7 else await good(request, number)


async def cut_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    if number == 7 and request.transport is not None:
        request.transport.abort()
    return await good(request, number)


async def silent_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    if number == 7:
        await asyncio.sleep(3)
    return await good(request, number)


async def half_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    if number != 7:
        return await good(request, number)
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


async def wrong_sometimes(request: web.Request, number: int) -> web.StreamResponse:
    return web.json_response({"wrong": 1}) if number == 7 else await good(request, number)


def requests() -> Iterator[Request]:
    def check(body: bytes) -> str | None:
        return None if "products" in json.loads(body) else "no products"

    for number in itertools.count():
        yield Request("products", "/api/products", f"load-{number:05d}", check=check, order=number)


def loaded(handler: Handler, **changes: object) -> Record:
    """Run 30 requests in about 0.3 s against a server with this handler."""

    async def body() -> Record:
        numbers = itertools.count()

        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(request, next(numbers))

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        settings = {"url": f"http://127.0.0.1:{port}", "rate": 100.0, "seconds": 0.3, "timeout": 1.0, **changes}
        try:
            return await Load(Settings(**settings), requests()).run()  # type: ignore[arg-type]
        finally:
            await runner.cleanup()

    return asyncio.run(body())


def test_good_server_passes_over_both_kinds_of_connection() -> None:
    record = loaded(good)
    assert record.verdict
    assert record.sent == record.answered == record.good == 30
    assert set(record.by_connection()) == {"new", "kept"}
    assert record.orders_sent == list(range(30))
    assert sorted(record.orders_acknowledged) == sorted(record.orders_sent)


@pytest.mark.parametrize(
    ("handler", "answered", "why"),
    [
        (error_sometimes, 30, "status 500"),
        (limited_sometimes, 30, "status 429"),
        (cut_sometimes, 29, "ServerDisconnected"),
        (silent_sometimes, 29, "no answer within 1 s"),
        (half_sometimes, 29, "ClientPayloadError"),
        (wrong_sometimes, 30, "no products"),
    ],
)
def test_one_bad_answer_turns_the_load_red(handler: Handler, answered: int, why: str) -> None:
    record = loaded(handler)
    assert not record.verdict
    assert (record.sent, record.answered, record.failed) == (30, answered, 1)
    failures = record.summary()["failures"]
    assert len(failures) == 1
    assert why in failures[0]["why"]
    assert len(record.orders_acknowledged) == 29


def test_no_request_waits_for_the_answer_to_an_earlier_one() -> None:
    arrived = asyncio.Event()

    async def after_the_last(request: web.Request, number: int) -> web.StreamResponse:
        if number == 29:
            arrived.set()
        await arrived.wait()
        return await good(request, number)

    record = loaded(after_the_last, timeout=60.0, slow_seconds=0.0)
    assert record.sent == record.answered == record.slow == 30, "a closed model would have waited for the first answer"


def test_nobody_listening_is_a_failure_of_every_request() -> None:
    load = Load(Settings(url="http://127.0.0.1:9", rate=100, seconds=0.05), requests())
    record = asyncio.run(load.run())
    assert (record.sent, record.answered, record.failed) == (5, 0, 5)
    assert not record.verdict


def test_nothing_sent_is_never_a_pass() -> None:
    assert not Record().verdict


def test_stop_sends_nothing_more_and_waits_for_answers() -> None:
    async def body() -> Record:
        load = Load(Settings(url="http://127.0.0.1:9", rate=100), requests())
        asyncio.get_running_loop().call_later(0.1, load.stop)
        return await asyncio.wait_for(load.run(), 5)

    record = asyncio.run(body())
    assert 5 <= record.sent <= 20
    assert len(record.answers) == record.sent


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, None), ([1.0], 0.99, 1.0), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.95, 95), (range(1, 101), 1, 100)],
)
def test_quantile(values: list[float], share: float, wanted: float | None) -> None:
    assert quantile(values, share) == wanted


def test_series_counts_each_request_in_the_second_it_was_due() -> None:
    record = Record()
    for second in (0.1, 0.9, 2.5):
        record.left(second, 0)
        record.ended(Answer("", second, "r", "GET", "/", "v", "new", 200, None, 0.01))
    assert [(row["second"], row["sent"], row["good"]) for row in record.series()] == [(0, 2, 2), (2, 1, 1)]


@pytest.mark.parametrize(
    ("sent", "acknowledged", "found", "passed", "wrong"),
    [
        ([1, 2, 3], [1, 2, 3], [1, 2, 3], True, {}),
        ([1, 2, 3], [1, 2], [1, 2, 3], True, {}),
        ([1, 2, 3], [1, 2, 3], [1, 2], False, {"missing": [3]}),
        ([1, 2, 3], [1, 2, 3], [1, 2, 3, 3], False, {"twice": [3]}),
        ([1, 2], [1, 2], [1, 2, 9], False, {"unknown": [9]}),
        ([], [], [], False, {}),
    ],
)
def test_orders_are_there_once(
    sent: list[int], acknowledged: list[int], found: list[int], passed: bool, wrong: dict[str, list[int]]
) -> None:
    result = compare(sent, acknowledged, found)
    assert result["passed"] is passed
    for key in ("missing", "twice", "unknown"):
        assert result[key] == wrong.get(key, [])


def day(seed: int) -> list[Request]:
    mix = Mix(first_order=1000, seed=seed, sessions=["a", "b"], accounts=["a@example.org"], assets=["/static/a.1.css"])
    return list(itertools.islice(mix, 5000))


def test_the_mix_repeats_itself_for_a_seed_and_numbers_orders_once() -> None:
    first, again, other = day(1), day(1), day(2)
    assert [(one.path, one.visitor, one.json) for one in first] == [(one.path, one.visitor, one.json) for one in again]
    assert [one.path for one in first] != [one.path for one in other]
    orders = [one.order for one in first if one.order]
    assert orders == list(range(1000, 1000 + len(orders)))
    assert {one.route for one in first} == set(WEIGHTS)
    assert len({one.visitor for one in first}) > 1500


def test_without_accounts_nobody_orders() -> None:
    assert not {"order", "orders", "sign in"} & {one.route for one in itertools.islice(Mix(first_order=1), 5000)}


def test_the_mix_fetches_the_assets_that_a_page_named() -> None:
    mix = Mix(first_order=1)
    page = next(one for one in mix if one.route == "page")
    assert page.check is not None
    assert page.check(b"<p>no assets</p>") == "the page names no assets"
    assert page.check(b'<link href="/static/shop.0123456789.css">') is None
    assert next(one for one in mix if one.route == "asset").path == "/static/shop.0123456789.css"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b'{"order": {"reference": 7}}', False),
        (b'{"order": {"reference": 8}}', True),
        (b'{"error": "no"}', True),
        (b"<html>", True),
        (b"[]", True),
    ],
)
def test_an_answer_with_another_content_is_not_good(body: bytes, wrong: bool) -> None:
    assert bool(has("order", reference=7)(body)) is wrong
