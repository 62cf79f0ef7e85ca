"""Each numbered order is written once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from examples.storefront.tests.support import Client, Cluster, Service


def orders(seen: dict[str, float]) -> float:
    return sum(value for name, value in seen.items() if name.startswith('feature_orders_total{feature="search"'))


def test_the_same_order_twenty_times_at_once_is_one_order(
    shop: Service, member: Client, cluster: Cluster, database: str
) -> None:
    before = orders(shop.metrics())
    order = {"reference": 1_000_001, "sku": "tea-01", "quantity": 2}

    def send(_number: int) -> int:
        return Client(shop.port, dict(member.cookies)).call("POST", "/api/orders", order).status

    with ThreadPoolExecutor(20) as threads:
        answers = sorted(threads.map(send, range(20)))
    assert answers == [200] * 19 + [201]
    assert cluster.run(database, "SELECT count(*), sum(total_cents) FROM orders WHERE reference = 1000001") == [
        (1, 900)
    ]
    assert orders(shop.metrics()) == before + 1
    told = member.get("/api/orders/1000001").json["order"]
    assert {key: told[key] for key in order} == order
    assert member.get("/api/orders").json["orders"][0]["reference"] == 1_000_001


def test_another_order_under_a_used_number_is_a_conflict(shop: Service, member: Client) -> None:
    first = {"reference": 1_000_002, "sku": "tea-01", "quantity": 1}
    assert member.call("POST", "/api/orders", first).status == 201
    assert member.call("POST", "/api/orders", {**first, "quantity": 2}).status == 409
    assert member.call("POST", "/api/orders", {**first, "sku": "tea-02"}).status == 409
    other = shop.client(visitor="other")
    other.call(
        "POST", "/api/accounts", {"email": "other@example.org", "password": "a password of the tests", "name": "Other"}
    )
    other.call("POST", "/api/session", {"email": "other@example.org", "password": "a password of the tests"})
    assert other.call("POST", "/api/orders", first).status == 409
    assert other.get("/api/orders/1000002").status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"reference": 0},
        {"reference": 2**63},
        {"reference": "1"},
        {"reference": True},
        {"sku": "none"},
        {"sku": 1},
        {"sku": "\x00"},
        {"quantity": 0},
        {"quantity": 101},
    ],
)
def test_a_wrong_field_is_refused(member: Client, change: dict[str, object]) -> None:
    assert (
        member.call("POST", "/api/orders", {"reference": 1_000_003, "sku": "tea-01", "quantity": 1, **change}).status
        == 422
    )
