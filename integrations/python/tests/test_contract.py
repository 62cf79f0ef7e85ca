# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Every item of docs/application-contract.md, beside the real frameworks and servers. The tests of one server build on
each other in this order: its series only grow."""

from __future__ import annotations

import re

from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition, measured_share, process_state

from integrations.python.tests.server import FEATURES, Server, counters, json_of
from tests.support.waiting import until

USERS = [f"user-{number:03d}" for number in range(60)]


def test_ready_was_told_to_systemd(shop: Server) -> None:
    assert "READY=1" in shop.told


def test_without_a_flag_file_every_feature_is_off_and_the_metrics_say_why(shop: Server) -> None:
    assert json_of(shop.get("/api/features", "anna")) == {"features": dict.fromkeys(FEATURES, False)}
    text = shop.metrics()
    assert shop.value("feature_flag_file_readable", text) == 0
    assert shop.value("feature_flag_revision", text, flag="search") == 0


def test_counters_are_there_at_zero_before_the_first_request_of_a_user(shop: Server) -> None:
    text = shop.metrics()
    assert process_state.speaks(text)
    for route, method in (("/api/search", "GET"), ("/api/orders", "POST"), ("gradual-probe", "GET")):
        assert shop.value("http_requests_total", text, method=method, route=route, status="500") == 0
    for feature in FEATURES:
        for variant in ("on", "off"):
            labels = {"feature": feature, "variant": variant}
            assert shop.value("feature_requests_total", text, **labels, outcome="error") == 0
            assert shop.value("feature_request_duration_seconds_bucket", text, **labels, le="0.5") == 0
            assert shop.value("feature_feedback_total", text, **labels, opinion="bad") == 0
            assert shop.value("feature_orders_total", text, **labels) == 0


def test_the_contract_s_addresses(shop: Server) -> None:
    assert json_of(shop.get("/healthz")) == {"status": "alive"}
    assert json_of(shop.get("/version")) == {"application": "shop", "release": "1.0", "digest": "d" * 64}
    assert json_of(shop.get("/readyz")) == {"ready": True}
    (shop.folder / "ready").unlink()
    closed = shop.get("/readyz")
    (shop.folder / "ready").touch()
    assert (closed.status, closed.json()) == (503, {"ready": False, "reason": "closed"})
    assert shop.get("/healthz", method="HEAD").body == b""
    assert shop.get("/healthz").headers["cache-control"] == "no-store"
    assert shop.get("/healthz", method="POST").status in (404, 405)


def test_the_user_s_cookie_is_made_once_and_a_malformed_one_is_replaced(shop: Server) -> None:
    made = shop.get("/api/features").headers["set-cookie"]
    key = re.match(r"visitor=([0-9a-f]{24}); Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax$", made)
    assert key
    assert "set-cookie" not in shop.get("/api/features", key[1]).headers
    assert "set-cookie" in shop.get("/api/features", "a/b").headers
    assert "set-cookie" in shop.get("/api/search").headers, "a feature's route needs the user too"
    assert "set-cookie" not in shop.get("/api/products/1").headers, "nobody asked who this is"


def test_variants_are_created_before_any_process_shows_the_revision(shop: Server) -> None:
    shop.show(0, labels=(25, 50))
    wanted = {feature: ["on", "off", "aa25", "aa50"] for feature in FEATURES}
    assert process_state.unlabelled(shop.metrics(), wanted) == []
    assert shop.value("feature_flag_file_readable") == 1


def test_the_users_are_those_that_the_labels_foretold_and_stay_from_stage_to_stage(shop: Server) -> None:
    """The front door is asked as Gradual asks it."""
    shop.show(0, labels=(25, 50))
    variants = {user: json_of(shop.get("/api/search", user))["variant"] for user in USERS}
    assert set(variants.values()) == {"aa25", "aa50", "off"}
    have = {}
    for percent in (25, 50, 100, 25):
        shop.show(percent)
        have[percent] = {user for user in USERS if json_of(shop.get("/api/search", user))["on"]}
        foretold = {
            user for user, label in variants.items() if label in [definition.label(p) for p in (25, 50) if p <= percent]
        }
        assert have[percent] == (foretold if percent < 100 else set(USERS))
    measured = measured_share.measure(shop.url, FEATURES, 200, 1000)
    assert measured.mistakes == []
    assert 0.1 < len(measured.on["search"]) / 200 < 0.4


def test_requests_are_counted_by_what_the_user_has(shop: Server) -> None:
    shop.show(50)
    having = {user: json_of(shop.get("/api/search", user))["on"] for user in USERS}
    before = shop.metrics()
    for user in USERS:
        assert shop.get("/api/search?q=broken", user).status == (500 if having[user] else 200)
        assert shop.get("/api/orders", user, method="POST").status == 201
        assert shop.get("/api/search?q=refused", user).status == 401
    after = shop.metrics()

    def grown(name: str, **labels: str) -> float:
        return (shop.value(name, after, **labels) or 0) - (shop.value(name, before, **labels) or 0)

    on = sum(having.values())
    assert grown("feature_requests_total", feature="search", variant="on", outcome="error") == on
    assert grown("feature_requests_total", feature="search", variant="on", outcome="ok") == 0
    assert grown("feature_requests_total", feature="search", variant="off", outcome="error") == 0
    assert grown("feature_requests_total", feature="search", variant="off", outcome="ok") == len(USERS) - on
    assert grown("feature_request_duration_seconds_count", feature="search", variant="on") == on
    assert grown("http_requests_total", method="GET", route="/api/search", status="500") == on
    assert grown("http_requests_total", method="GET", route="/api/search", status="401") == len(USERS)
    assert grown("http_request_duration_seconds_count", route="/api/search") == 2 * len(USERS)
    for feature in FEATURES:
        orders = [grown("feature_orders_total", feature=feature, variant=variant) for variant in ("on", "off")]
        assert sum(orders) == len(USERS)
    assert sum(
        grown("feature_feedback_total", feature="checkout", variant=v, opinion="good") for v in ("on", "off")
    ) == (len(USERS))
    assert grown("feature_evaluations_total", flag="search") > 0


def test_routes_are_named_by_their_template(shop: Server) -> None:
    for number in range(3):
        assert json_of(shop.get(f"/api/products/{number}")) is not None
    assert shop.get("/nothing/7").status == 404
    text = shop.metrics()
    counted = [each for each in process_state.samples(text, ("http_requests_total",)) if each[2]]
    routes = {labels["route"] for _name, labels, _value in counted}
    assert len(routes & {"/api/products/<number>", "/api/products/{number}"}) == 1
    assert sum(value for _name, labels, value in counted if "products" in labels["route"]) >= 3
    assert not [route for route in routes if re.search(r"\d", route)]
    assert shop.value("http_requests_total", text, method="GET", route="unmatched", status="404")


def test_gradual_s_own_requests_count_apart_and_for_no_feature(shop: Server) -> None:
    before = shop.metrics()
    assert shop.get("/api/search", "anna", probe=True).status == 200
    assert shop.get("/api/orders", "anna", method="POST", probe=True).status == 201
    grown = {name for name, value in counters(shop.metrics()).items() if value > counters(before).get(name, 0)}
    assert 'http_requests_total{method="GET",route="gradual-probe",status="200"}' in grown
    assert 'feature_evaluations_total{flag="search"}' in grown
    assert not [name for name in grown if name.startswith(("feature_requests", "feature_request_d", "feature_orders"))]
    assert not [name for name in grown if "/api/" in name]


def test_a_broken_file_keeps_the_last_good_flags_and_is_told(shop: Server) -> None:
    shop.show(100)
    broken = shop.flags.with_name("broken.json")
    broken.write_text('{"flags": {"search":')
    broken.replace(shop.flags)  # in one step: an empty file would be told once more
    until(lambda: shop.value("feature_flag_file_readable") == 0, "the metrics say that the file is broken", 30)
    assert json_of(shop.get("/api/search", "anna"))["on"] is True
    assert shop.log.read_text().count("the last good flags stay") <= len(shop.workers())
    shop.show(0)
    assert json_of(shop.get("/api/search", "anna"))["on"] is False


def test_nothing_went_wrong_unseen(shop: Server) -> None:
    """Last: what the log may say."""
    text = shop.log.read_text()
    assert "feature 'x' is none of ['checkout', 'search']: it is off" in text
    assert "could not" not in text
