"""Each bad release has its defect, and nothing else is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from examples.storefront.tests.support import STOREFRONT, Cluster, Releases, Service, flagd, put, running, wait_for

USERS = [f"user-{number:03d}" for number in range(120)]


@pytest.fixture
def bad(service_of: Callable[..., Service], database: str) -> Iterator[Callable[[str], Service]]:
    """Start a bad release with each feature on for half of the users."""
    started = []

    def start(version: str) -> Service:
        service = service_of(version, database)
        put(service.flags, flagd(1, 50))
        started.append(service)
        service.start("/readyz")
        wait_for("flags", lambda: all(at[0] == 1 for at in service.evaluated("search").values()))
        return service

    yield start
    for service in started:
        service.stop()


def arms(service: Service, feature: str) -> dict[bool, list[str]]:
    client = service.client()
    found: dict[bool, list[str]] = {True: [], False: []}
    for user in USERS:
        client.cookies = {"visitor": user}
        found[client.get("/api/features").json["features"][feature]].append(user)
    return found


def test_2_0_1_fails_for_three_in_eight_of_those_who_have_recommendations(bad: Callable[[str], Service]) -> None:
    service = bad("2.0.1")
    seen = arms(service, "recommendations")
    status = {
        has: [service.client(visitor=user).get("/api/products/tea-01").status for user in users]
        for has, users in seen.items()
    }
    assert set(status[False]) == {200}
    assert 0.2 < status[True].count(500) / len(status[True]) < 0.55
    told = service.metrics()
    assert told['feature_requests_total{feature="recommendations",outcome="error",variant="on"}'] == status[True].count(
        500
    )
    assert told['feature_requests_total{feature="recommendations",outcome="error",variant="off"}'] == 0
    assert told['http_requests_total{method="GET",route="/api/products/<sku>",status="500"}'] == status[True].count(500)
    assert "IndexError" in service.log.read_text()


def test_2_0_2_takes_a_second_more_for_those_who_have_search(bad: Callable[[str], Service]) -> None:
    service = bad("2.0.2")
    seen = arms(service, "search")
    for has, low, high in ((True, 1.0, 2.0), (False, 0.0, 0.5)):
        started = time.monotonic()
        assert service.client(visitor=seen[has][0]).get("/api/search?q=green").status == 200
        assert low <= time.monotonic() - started < high
    assert service.metrics()['feature_request_duration_seconds_bucket{feature="search",le="0.5",variant="on"}'] == 0


def test_2_0_3_does_not_start(service_of: Callable[..., Service], database: str) -> None:
    service = service_of("2.0.3", database)
    service.start(wait=None)
    assert service.process.wait(15) != 0
    assert "RECOMMENDATIONS_MODEL" in service.log.read_text()


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_2_0_4_leaves_half_a_migration_on_which_the_old_code_runs(
    service_of: Callable[..., Service],
    migrated: Callable[[str | None], str],
    cluster: Cluster,
    releases: Releases,
    revision: str,
) -> None:
    name = migrated(revision)
    for _again in range(2):
        done = releases.migrate("2.0.4", cluster.url(name), "upgrade", "0003b")
        assert done.returncode != 0
    assert cluster.run(name, "SELECT version_num FROM alembic_version") == [("0003",)]
    assert cluster.run(name, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'products_shelf'::regclass") == [
        (False,)
    ]
    assert cluster.run(name, "SELECT count(*) FROM products WHERE shelf = 'unsorted'") == [(60,)]
    with running(service_of("1.0.0", name, WORKERS="1"), wait="/readyz") as service:
        assert service.client().get("/api/products/tea-01").status == 200


def test_2_0_5_lives_and_is_never_ready(service_of: Callable[..., Service], database: str) -> None:
    with running(service_of("2.0.5", database)) as service:
        answer = service.client().get("/readyz")
        assert (answer.status, answer.json["reason"]) == (503, "the schema is at 0003, this release needs 0005")


def test_a_bad_release_changes_only_the_file_that_holds_its_defect() -> None:
    changed = {
        version: sorted(
            path.relative_to(STOREFRONT / "versions" / version).as_posix()
            for path in (STOREFRONT / "versions" / version).rglob("*.py")
        )
        for version in ("2.0.1", "2.0.2", "2.0.3", "2.0.4", "2.0.5")
    }
    assert changed == {
        "2.0.1": ["app/recommendations.py"],
        "2.0.2": ["app/search.py"],
        "2.0.3": ["app/recommendations.py"],
        "2.0.4": ["migrations/versions/0003b_shelf.py", "migrations/versions/0004_drop_price_text.py"],
        "2.0.5": ["app/release.py"],
    }


def test_an_old_host_has_the_assets_of_a_release_that_is_staged_beside_it(
    service_of: Callable[..., Service], database: str, releases: Releases
) -> None:
    new = releases.ready("2.0.0")
    with running(service_of("1.0.0", database, WORKERS="1")) as service:
        names = [path.name for path in (new / "static").glob("storefront.*.js")]
        assert len(names) == 1
        assert not (releases.ready("1.0.0") / "static" / names[0]).exists()
        answer = service.client().get(f"/static/{names[0]}")
        assert (answer.status, answer.body) == (200, (new / "static" / names[0]).read_bytes())
        assert service.client().get("/static/storefront.000000000000.js").status == 404
