"""Which release runs on which schema, and what the migrations leave."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from examples.storefront.tests.conftest import PASSWORD
from examples.storefront.tests.support import APPLICATION_PASSWORD, Cluster, Releases, Service, running

MERCHANT = {"email": "merchant@example.org", "password": PASSWORD}


@pytest.mark.parametrize(
    ("version", "revision", "reason"),
    [
        ("1.0.0", None, "has not been migrated"),
        ("1.0.0", "0001", None),
        ("1.0.0", "0002", None),
        ("1.0.0", "0003", None),
        ("1.0.0", "0004", "lacks products.price_text"),
        ("2.0.0", "0001", "the schema is at 0001, this release needs 0003"),
        ("2.0.0", "0002", "needs 0003"),
        ("2.0.0", "0003", None),
        ("2.0.0", "0004", None),
    ],
)
def test_readiness_knows_the_schema(
    service_of: Callable[..., Service],
    migrated: Callable[[str | None], str],
    version: str,
    revision: str | None,
    reason: str | None,
) -> None:
    with running(service_of(version, migrated(revision), WORKERS="1")) as service:
        answer = service.client().get("/readyz")
        assert service.client().get("/healthz").status == 200
        if reason:
            assert answer.status == 503
            assert answer.json["ready"] is False
            assert reason in answer.json["reason"]
            return
        assert (answer.status, answer.json["schema"]) == (200, revision)
        for path in ("/api/products", "/api/products/tea-01", "/api/search?q=green", "/api/checkout?sku=tea-01"):
            assert service.client().get(path).status == 200


def test_both_releases_write_while_both_run_and_all_columns_stay_right(
    service_of: Callable[..., Service], migrated: Callable[[str | None], str], cluster: Cluster, releases: Releases
) -> None:
    name = migrated("0001")
    for _again in range(2):
        done = releases.program(
            "1.0.0", "seed", DATABASE_URL=cluster.url(name), MIGRATION_ROLE="storefront_owner", DEMO_PASSWORD=PASSWORD
        )
        assert (done.returncode, done.stdout) == (0, "21 demo accounts are there\n")
        assert PASSWORD not in done.stdout + done.stderr
    with running(service_of("1.0.0", name, WORKERS="1")) as old:
        seller = old.client()
        assert seller.call("POST", "/api/session", MERCHANT).status == 200
        assert seller.call("POST", "/api/orders", {"reference": 1, "sku": "tea-01"}).status == 201
        assert releases.migrate("2.0.0", cluster.url(name), "upgrade", "0003").returncode == 0
        told = seller.call("PUT", "/api/products/tea-01", {"name": "Emerald Leaf", "price_cents": 505}).json["product"]
        assert told["price"] == "€ 5.05"
        assert seller.call("POST", "/api/orders", {"reference": 2, "sku": "tea-01"}).status == 201
        assert seller.call("PUT", "/api/products/tea-01", {"stock": 1}).status == 422
        assert seller.call("PUT", "/api/products/none", {"name": "x"}).status == 404
        assert cluster.run(name, "SELECT count(*) FROM products WHERE search_words IS NULL") == [(0,)]
        assert cluster.run(name, "SELECT search_words @@ 'emerald' FROM products WHERE sku = 'tea-01'") == [(True,)]
        with running(service_of("2.0.0", name, WORKERS="1")) as new:
            # The same session works on both releases: a user is not signed out by a rollout.
            both = new.client(session=seller.cookies["session"])
            assert both.call("PUT", "/api/products/tea-01", {"price_cents": 7}).json["product"]["price"] == "€ 0.07"
            assert old.client().get("/api/products/tea-01").json["product"]["price"] == "€ 0.07"
            assert len(both.get("/api/orders").json["orders"]) == 2
            shopper = new.client()
            assert (
                shopper.call("POST", "/api/session", {"email": "shopper-07@example.org", "password": PASSWORD}).status
                == 200
            )
            assert shopper.call("PUT", "/api/products/tea-01", {"price_cents": 1}).status == 403


def test_the_application_may_do_what_it_needs_and_nothing_else(
    cluster: Cluster, migrated: Callable[[str | None], str]
) -> None:
    url = cluster.url(migrated("0003"), "storefront_app")
    assert APPLICATION_PASSWORD in url
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "DELETE FROM orders",
            "UPDATE orders SET quantity = 1",
            "DELETE FROM products",
            "UPDATE products SET sku = 'x'",
            "UPDATE accounts SET merchant = true",
            "SELECT comment FROM feedback",
            "CREATE TABLE more (x int)",
            "UPDATE alembic_version SET version_num = '0009'",
            "DROP TABLE orders",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[call-overload]


def test_a_broken_index_build_is_mended_by_running_it_again(
    cluster: Cluster, migrated: Callable[[str | None], str], releases: Releases
) -> None:
    name = migrated("0002")
    cluster.run(
        name,
        "CREATE INDEX products_search_words ON products USING gin (search_words)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'products_search_words'::regclass",
    )
    done = releases.migrate("2.0.0", cluster.url(name), "upgrade", "0003", PGOPTIONS="-c lock_timeout=50ms")
    assert done.returncode == 0, done.stderr
    assert cluster.run(
        name, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'products_search_words'::regclass"
    ) == [(True,)]
    assert cluster.run(name, "SELECT version_num FROM alembic_version") == [("0003",)]


def test_the_short_migration_gives_up_where_the_table_is_held_and_leaves_nothing(
    cluster: Cluster, migrated: Callable[[str | None], str], releases: Releases
) -> None:
    name = migrated("0001")
    with psycopg.connect(cluster.url(name)) as holder:
        holder.execute("SELECT 1 FROM products LIMIT 1")
        done = releases.migrate("2.0.0", cluster.url(name), "upgrade", "0003", PGOPTIONS="-c lock_timeout=50ms")
        assert done.returncode != 0
        assert "lock timeout" in done.stderr
    assert cluster.run(name, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert releases.migrate("2.0.0", cluster.url(name), "upgrade", "0003").returncode == 0


def test_the_index_is_what_search_uses_where_there_is_much_to_search(
    cluster: Cluster, migrated: Callable[[str | None], str]
) -> None:
    name = migrated("0003")
    rows = cluster.run(
        name,
        "INSERT INTO products (sku, kind, name, description, price_cents, price_text) "
        "SELECT 'x-' || n, 'x', 'thing ' || n, md5(n::text), 1, '' FROM generate_series(1, 20000) n",
        "VACUUM ANALYZE products",  # else the new rows wait in the index's pending list
        "EXPLAIN SELECT sku FROM products, websearch_to_tsquery('english', 'grassy') AS asked WHERE search_words @@"
        " asked",
    )
    assert "products_search_words" in "\n".join(row[0] for row in rows)
