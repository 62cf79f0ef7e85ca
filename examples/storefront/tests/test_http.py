"""The API as its README tells it: who may, what comes back, headers, metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from examples.storefront.tests.support import FEATURES, Client, Releases, Service

ROUTES = {
    "/",
    "/static/<name>",
    "/api/features",
    "/api/products",
    "/api/products/<sku>",
    "/api/search",
    "/api/checkout",
    "/api/orders",
    "/api/orders/<reference>",
    "/api/accounts",
    "/api/session",
    "/api/account",
    "/api/feedback",
    "/healthz",
    "/readyz",
    "/version",
    "/metrics",
    "unmatched",
    "gradual-probe",
}


@pytest.fixture(scope="module")
def first_scrape(shop: Service) -> dict[str, float]:
    """What the metrics were before the first test sent anything."""
    return shop.metrics()


def counters(seen: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in seen.items() if re.match(r"\w+_(total|count|bucket|sum)\{", name)}


def test_counters_are_born_at_zero_for_every_label(first_scrape: dict[str, float]) -> None:
    routes = {match[1] for name in first_scrape if (match := re.search(r'route="([^"]+)"', name))}
    assert routes == ROUTES
    for feature in FEATURES:
        for variant in ("on", "off"):
            for outcome in ("ok", "error"):
                assert (
                    first_scrape[
                        f'feature_requests_total{{feature="{feature}",outcome="{outcome}",variant="{variant}"}}'
                    ]
                    == 0
                )
            for opinion in ("good", "bad"):
                assert (
                    first_scrape[
                        f'feature_feedback_total{{feature="{feature}",opinion="{opinion}",variant="{variant}"}}'
                    ]
                    == 0
                )
            assert first_scrape[f'feature_orders_total{{feature="{feature}",variant="{variant}"}}'] == 0
            for bound in ("0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "+Inf"):
                assert (
                    first_scrape[
                        f'feature_request_duration_seconds_bucket{{feature="{feature}",le="{bound}",variant="{variant}"}}'
                    ]
                    == 0
                )
        assert first_scrape[f'feature_evaluations_total{{flag="{feature}"}}'] == 0
    # Only the probes of this test have been counted so far.
    inside = re.compile(r'route="/(healthz|metrics)"')
    assert {name for name, value in counters(first_scrape).items() if value and not inside.search(name)} == set()
    assert first_scrape['http_requests_total{method="POST",route="/api/orders",status="500"}'] == 0


def test_inside_endpoints(shop: Service, releases: Releases, first_scrape: dict[str, float]) -> None:
    client = shop.client()
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").json == {"ready": True, "database": "ok", "schema": "0003", "needs": "0003"}
    assert client.get("/version").json == {
        "application": "storefront",
        "release": "2.0.0",
        "digest": releases.digest("2.0.0"),
    }


@pytest.mark.parametrize(
    ("path", "status", "cache"),
    [
        ("/", 200, "no-cache"),
        ("/static/none.000000000000.js", 404, "no-store"),
        ("/static/..%2f.release.json", 404, "no-store"),
        ("/static/assets.json", 404, "no-store"),
        ("/api/products", 200, "public, max-age=30"),
        ("/api/products?page=99", 200, "public, max-age=30"),
        ("/api/products?page=0", 400, "no-store"),
        ("/api/products?page=%C2%B2", 400, "no-store"),
        ("/api/products/tea-01", 200, "no-store"),
        ("/api/products/none", 404, "no-store"),
        ("/api/search?q=green", 200, "no-store"),
        ("/api/search?q=%25", 200, "no-store"),
        ("/api/search?q=%00", 400, "no-store"),
        ("/api/search", 400, "no-store"),
        ("/api/search?q=" + "x" * 81, 400, "no-store"),
        ("/api/search?q=%22%27%3A%26%7C%21%28%3C-%3E", 200, "no-store"),
        ("/api/checkout?sku=tea-01&quantity=2", 200, "no-store"),
        ("/api/checkout?sku=tea-01&quantity=1000000000", 400, "no-store"),
        ("/api/checkout?sku=none", 404, "no-store"),
        ("/api/features", 200, "no-store"),
        ("/api/orders", 401, "no-store"),
        ("/api/orders/1", 401, "no-store"),
        ("/api/account", 401, "no-store"),
        ("/readyz", 200, "no-store"),
        ("/nothing", 404, "no-store"),
        ("/api/products//tea-01", 404, "no-store"),
    ],
)
def test_status_cache_and_security_headers(
    shop: Service, path: str, status: int, cache: str, first_scrape: dict[str, float]
) -> None:
    answer = shop.client(visitor="b").get(path)
    assert (answer.status, answer.headers["Cache-Control"]) == (status, cache)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    if status >= 400:
        assert set(answer.json) == {"error"}
    if path == "/api/products":
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/orders", 401),
        ("PUT", "/api/products/tea-01", 401),
        ("DELETE", "/api/orders/1", 405),
        ("PATCH", "/nothing", 404),
        ("OPTIONS", "/api/orders", 405),
        ("BREW", "/", 405),
        ("HEAD", "/", 200),
        ("HEAD", "/api/orders", 401),
    ],
)
def test_methods(shop: Service, method: str, path: str, status: int, first_scrape: dict[str, float]) -> None:
    assert shop.client().call(method, path, {} if method in ("POST", "PUT") else None).status == status


def test_requests_of_gradual_are_counted_apart(shop: Service, member: Client, first_scrape: dict[str, float]) -> None:
    """By a route of their own whatever they ask, and for no feature; the same requests of a user count as they always
    did."""
    own = {"X-Gradual-Probe": "1"}
    asked = (
        ("GET", "/api/search?q=tea", None),
        ("GET", "/nothing", None),
        ("POST", "/api/feedback", {"feature": "search", "opinion": "good"}),
    )
    route = re.compile(r'route="(/api/search|/api/feedback|unmatched)"')

    def grown(headers: dict[str, str]) -> dict[str, float]:
        before = shop.metrics()
        statuses = [member.call(method, path, body, headers).status for method, path, body in asked]
        assert statuses == [200, 404, 201]
        return {
            name: value - before.get(name, 0)
            for name, value in counters(shop.metrics()).items()
            if value != before.get(name, 0)
        }

    by_gradual = grown(own)
    assert not [
        name
        for name in by_gradual
        if route.search(name) or name.startswith(("feature_requests", "feature_request_d", "feature_feedback"))
    ]
    assert by_gradual['http_requests_total{method="GET",route="gradual-probe",status="200"}'] == 1
    assert by_gradual['http_request_duration_seconds_count{route="gradual-probe"}'] == 3
    by_users = grown({})
    assert (
        sum(value for name, value in by_users.items() if name.startswith("http_requests_total") and route.search(name))
        == 3
    )
    assert sum(value for name, value in by_users.items() if name.startswith("feature_requests_total")) == 1
    assert sum(value for name, value in by_users.items() if name.startswith("feature_feedback_total")) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null"])
def test_a_body_that_is_no_json_object_is_400(member: Client, body: bytes) -> None:
    assert member.call("POST", "/api/orders", body).status == 400


def test_a_body_of_another_type_or_of_great_size_is_refused(member: Client) -> None:
    assert member.call("POST", "/api/orders", b"{}", {"Content-Type": "text/plain"}).status == 400
    assert member.call("POST", "/api/orders", {"comment": "x" * 70_000}).status in (400, 413)


def test_the_visitor_is_made_once_and_a_malformed_one_is_replaced(shop: Service) -> None:
    client = shop.client()
    made = client.get("/api/features").cookies["visitor"]
    assert re.fullmatch(r"[0-9a-f]{24}", made)
    assert client.get("/api/features").cookies == {}
    assert client.cookies["visitor"] == made
    assert shop.client(visitor="a/b").get("/api/features").cookies["visitor"] != "a/b"


def test_cookies_are_secure_behind_the_balancer_only(shop: Service) -> None:
    answer = shop.client().get("/api/features", **{"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "Secure" not in shop.client().get("/api/features").headers["Set-Cookie"]


def test_features_show_and_are_counted_in_both_arms(shop: Service) -> None:
    before = shop.metrics()
    calls: dict[str, tuple[str, Any, Any]] = {
        "search": (
            "/api/search?q=grassy",
            lambda told: (told["found_by"], len(told["products"])),
            {True: ("words", 1), False: ("name", 0)},
        ),
        "recommendations": (
            "/api/products/tea-01",
            lambda told: told["recommendations"] and len(told["recommendations"]),
            {True: 4, False: None},
        ),
        "express-checkout": (
            "/api/checkout?sku=tea-01",
            lambda told: (told["express"], len(told["steps"])),
            {True: (True, 1), False: (False, 3)},
        ),
    }
    users = [f"user-{number:03d}" for number in range(40)]
    for feature, (path, seen, wanted) in calls.items():
        arms = {True: 0, False: 0}
        for user in users:
            client = shop.client(visitor=user)
            has = client.get("/api/features").json["features"][feature]
            assert seen(client.get(path).json) == wanted[has]
            arms[has] += 1
        assert min(arms.values()) > 5
        after = shop.metrics()
        for variant, count in (("on", arms[True]), ("off", arms[False])):
            key = f'feature_requests_total{{feature="{feature}",outcome="ok",variant="{variant}"}}'
            assert after[key] - before[key] == count
            key = f'feature_request_duration_seconds_count{{feature="{feature}",variant="{variant}"}}'
            assert after[key] - before[key] == count
        key = f'feature_evaluations_total{{flag="{feature}"}}'
        assert after[key] - before[key] >= 2 * len(users)


def test_feedback_is_counted_for_what_the_user_has(shop: Service) -> None:
    client = shop.client(visitor="critic")
    variant = "on" if client.get("/api/features").json["features"]["search"] else "off"
    key = f'feature_feedback_total{{feature="search",opinion="bad",variant="{variant}"}}'
    before = shop.metrics()[key]
    answer = client.call(
        "POST", "/api/feedback", {"feature": "search", "opinion": "bad", "comment": "it finds too much"}
    )
    assert (answer.status, answer.json) == (
        201,
        {"feedback": {"feature": "search", "variant": variant, "opinion": "bad"}},
    )
    assert shop.metrics()[key] == before + 1
    for wrong in (
        {"feature": "none", "opinion": "bad"},
        {"feature": "search", "opinion": "so-so"},
        {"feature": ["search"], "opinion": "bad"},
    ):
        assert client.call("POST", "/api/feedback", wrong).status == 422


def test_signing_in(shop: Service, member: Client) -> None:
    assert member.get("/api/account").json["account"]["name"] == "A Member"
    content, time, signature = member.cookies["session"].split(".")
    # The first character, because not every bit of the last one counts in base64.
    other = ("A" if signature[0] != "A" else "B") + signature[1:]
    forged = Client(shop.port, {"session": f"{content}.{time}.{other}"})
    assert forged.get("/api/account").status == 401
    email = member.get("/api/account").json["account"]["email"]
    stranger = shop.client()
    assert stranger.call("POST", "/api/session", {"email": email, "password": "something else"}).status == 401
    assert (
        stranger.call("POST", "/api/session", {"email": "nobody@example.org", "password": "something else"}).status
        == 401
    )
    assert (
        stranger.call(
            "POST", "/api/accounts", {"email": email, "password": "a password of the tests", "name": "Again"}
        ).status
        == 409
    )
    assert (
        stranger.call("POST", "/api/accounts", {"email": "new@example.org", "password": "short", "name": "New"}).status
        == 422
    )
    assert member.call("DELETE", "/api/session").status == 204
    assert member.get("/api/account").status == 401


def test_the_page_names_assets_that_are_there_for_a_year(shop: Service) -> None:
    page = shop.client().get("/").body.decode()
    assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(assets) == 3
    for path in assets:
        answer = shop.client().get(path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert "Set-Cookie" not in answer.headers
        again = shop.client().get(path, **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")


def test_nothing_in_an_error_tells_about_the_inside(shop: Service) -> None:
    for path in ("/nothing", "/api/products/none", "/api/orders"):
        assert "Traceback" not in json.dumps(shop.client().get(path).json)


def test_no_series_was_born_after_the_first_scrape(shop: Service, first_scrape: dict[str, float]) -> None:
    """Last in this file: by now every status of every route has been seen."""
    late = set(counters(shop.metrics())) - set(counters(first_scrape))
    assert late == set()
