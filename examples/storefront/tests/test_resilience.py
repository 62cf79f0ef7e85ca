"""Restarts, of the application and of its database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from examples.storefront.tests.support import Answer, Client, Cluster, Releases, Service, flagd, put, running, wait_for


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory, releases: Releases) -> object:
    """A PostgreSQL that this test may stop."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="storefront-postgresql-") as directory:
        made = Cluster(Path(directory))
        made.create("shop")
        assert releases.migrate("2.0.0", made.url("shop"), "upgrade", "0003").returncode == 0
        yield made
        made.stop()


@pytest.fixture
def serving(alone: Cluster, releases: Releases, tmp_path: Path) -> Iterator[Service]:
    """The storefront on it, ready; whatever a test does to its database, nothing is unforeseen."""
    service = Service(
        releases.ready("2.0.0"), alone.url("shop", "storefront_app"), tmp_path / "flags.json", tmp_path / "runtime"
    )
    with running(service, wait="/readyz"):
        yield service
    assert "Traceback" not in service.log.read_text()


def test_a_restart_of_the_database_is_survived(alone: Cluster, serving: Service) -> None:
    clients = [serving.client(visitor="v") for _ in range(12)]
    assert [client.get("/api/products/tea-01").status for client in clients] == [200] * 12
    alone.stop()
    gone = serving.client().get("/api/products/tea-01")
    assert (gone.status, gone.headers["Retry-After"]) == (503, "1")
    unready = serving.client().get("/readyz")
    assert (unready.status, unready.json["database"]) == (503, "unreachable")
    assert serving.client().get("/healthz").status == 200
    assert serving.client().get("/").status == 200
    assert serving.metrics()['unhandled_errors_total{kind="database"}'] >= 1
    alone.start()
    wait_for("ready again", lambda: serving.client().get("/readyz").status == 200, 15)
    assert [client.get("/api/products/tea-01").status for client in clients] == [200] * 12


def test_once_the_database_is_back_no_worker_keeps_a_request_waiting(alone: Cluster, serving: Service) -> None:
    clients = [serving.client(visitor="v") for _ in range(12)]
    assert [client.get("/api/products/tea-01").status for client in clients] == [200] * 12
    alone.stop()
    with ThreadPoolExecutor(len(clients)) as together:  # both workers try to connect for 3 s
        assert [
            answer.status for answer in together.map(lambda client: client.get("/api/products/tea-01"), clients)
        ] == [503] * 12
    time.sleep(1)  # a pool that doubles its pauses would sleep from the third second to the seventh
    alone.start()
    assert [client.get("/readyz").status for client in clients] == [200] * 12  # this one waits for a second only


def test_dead_idle_connections_cost_no_request(alone: Cluster, serving: Service) -> None:
    client = serving.client(visitor="v")
    for _ in range(5):
        assert client.get("/api/products/tea-01").status == 200
    alone.run(
        "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'storefront'"
    )
    assert [client.get("/api/products/tea-01").status for _ in range(20)] == [200] * 20


def test_it_starts_without_its_database_and_is_ready_when_that_comes(
    alone: Cluster, releases: Releases, tmp_path: Path
) -> None:
    alone.stop()
    service = Service(
        releases.ready("2.0.0"), alone.url("shop", "storefront_app"), tmp_path / "flags.json", tmp_path / "runtime"
    )
    with running(service):
        assert service.client().get("/readyz").status == 503
        alone.start()
        wait_for("ready", lambda: service.client().get("/readyz").status == 200, 20)


def test_a_statement_that_waits_too_long_is_ended(cluster: Cluster, shop: Service, database: str) -> None:
    with psycopg.connect(cluster.url(database)) as holder:
        holder.execute("LOCK TABLE products")
        started = time.monotonic()
        answer = shop.client(visitor="v").get("/api/products/tea-01")
        assert answer.status == 503
        assert time.monotonic() - started < 5
        # Ready all the same: a held table must not take every host out of traffic at once.
        assert shop.client().get("/readyz").status == 200


def test_stopping_ends_after_the_requests_in_flight_and_closes_what_is_kept_alive(
    service_of: Callable[..., Service], database: str, cluster: Cluster
) -> None:
    service = service_of("2.0.0", database)
    put(service.flags, flagd(1, 50))
    answers: list[Answer] = []
    with running(service, wait="/readyz"):
        idle = service.client()
        assert idle.get("/healthz").status == 200
        with psycopg.connect(cluster.url(database)) as holder:
            holder.execute("LOCK TABLE products")
            slow = threading.Thread(
                target=lambda: answers.append(service.client(visitor="v").get("/api/products/tea-01"))
            )
            slow.start()
            wait_for(
                "the request in the database",
                lambda: cluster.run(database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[
                    0
                ][0],
            )
            service.process.terminate()
            time.sleep(0.5)
            holder.rollback()
        slow.join(10)
        assert service.process.wait(15) == 0
    assert [answer.status for answer in answers] == [200]
    assert idle.connection.sock.recv(1) == b"", "a connection that was kept alive is closed in order, not reset"
    with pytest.raises(OSError, match="refused"):
        Client(service.port).get("/healthz")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SESSION_KEY": "short"}, "SESSION_KEY has 5 characters"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ({"POOL": "many"}, "POOL is 'many'"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_clear_sentence(
    service_of: Callable[..., Service], database: str, environment: dict[str, str], told: str
) -> None:
    service = service_of("2.0.0", database, **environment)
    service.start(wait=None)
    assert service.process.wait(15) != 0
    assert told in service.log.read_text()


def test_no_secret_is_told(shop: Service) -> None:
    import subprocess

    from examples.storefront.tests.support import APPLICATION_PASSWORD, SESSION_KEY

    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for secret in (APPLICATION_PASSWORD, SESSION_KEY):
        assert secret not in shop.log.read_text()
        assert secret not in listed
