"""One PostgreSQL and one set of unpacked releases for all tests of the storefront."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.storefront.tests.support import Client, Cluster, Releases, Service, flagd, put, running

PASSWORD = "a password of the tests"
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    # Not below pytest's own directory: the system user postgres may not go there.
    with tempfile.TemporaryDirectory(prefix="storefront-postgresql-") as directory:
        made = Cluster(Path(directory))
        yield made
        made.stop()


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return Releases(tmp_path_factory.mktemp("artifacts"), tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def migrated(cluster: Cluster, releases: Releases) -> Callable[[str | None], str]:
    """A new database at a revision (None: empty); made once a revision, then copied."""
    templates: dict[str, str] = {}

    def make(revision: str | None) -> str:
        if revision is None:
            return cluster.create(f"shop_{next(numbers)}")
        if revision not in templates:
            templates[revision] = cluster.create(f"at_{revision}")
            done = releases.migrate("2.0.0", cluster.url(templates[revision]), "upgrade", revision)
            assert done.returncode == 0, done.stderr
        return cluster.create(f"shop_{next(numbers)}", templates[revision])

    return make


@pytest.fixture(scope="module")
def database(migrated: Callable[[str | None], str]) -> str:
    """A database at 0003."""
    return migrated("0003")


@pytest.fixture(scope="session")
def service_of(
    cluster: Cluster, releases: Releases, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Service]:
    """A release on a database, not started yet."""

    def make(version: str, name: str, **environment: str) -> Service:
        runtime = tmp_path_factory.mktemp("runtime")
        return Service(
            releases.ready(version), cluster.url(name, "storefront_app"), runtime / "flags.json", runtime, environment
        )

    return make


@pytest.fixture(scope="module")
def shop(service_of: Callable[..., Service], database: str) -> Iterator[Service]:
    """2.0.0, each feature for half of the visitors."""
    service = service_of("2.0.0", database)
    put(service.flags, flagd(1, 50))
    with running(service) as started:
        yield started


@pytest.fixture
def member(shop: Service) -> Client:
    """Somebody who is signed in."""
    client = shop.client(visitor="member")
    email = f"member-{next(numbers)}@example.org"
    assert (
        client.call("POST", "/api/accounts", {"email": email, "password": PASSWORD, "name": "A Member"}).status == 201
    )
    assert client.call("POST", "/api/session", {"email": email, "password": PASSWORD}).status == 200
    return client
