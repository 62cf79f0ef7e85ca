"""One cluster for all of these tests, one database for each."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account

from . import server as support

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[support.Server]:
    """A running PostgreSQL."""
    with support.throwaway() as running:
        yield running


@pytest.fixture(scope="session")
def environment(server: support.Server) -> Path:
    """What a release carries as its .venv."""
    return support.environment(server.folder / "venv")


@pytest.fixture
def empty(server: support.Server, environment: Path) -> Iterator[support.Shop]:
    """An empty database of the owner."""
    shop = support.Shop(server, f"shop_{next(_NUMBERS)}", environment)
    server.run(f"CREATE DATABASE {shop.name} OWNER {support.OWNER}")
    yield shop
    server.run(f"DROP DATABASE IF EXISTS {shop.name} WITH (FORCE)")


@pytest.fixture
def shop(empty: support.Shop) -> support.Shop:
    """A small shop at revision 0001."""
    return fill(empty)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the user of PostgreSQL; what runs in it is stopped at the end."""
    made = Path(tempfile.mkdtemp(prefix="gradual-test-", dir="/tmp"))
    who = account(support.RUN_AS)
    os.chown(made, who.pw_uid, who.pw_gid)
    yield made
    for data in made.glob("*/postmaster.pid"):
        with contextlib.suppress(Exception):
            support.run_as([str(support.programs() / "pg_ctl"), "-D", str(data.parent), "-m", "immediate", "stop"])
    shutil.rmtree(made, ignore_errors=True)


def fill(empty: support.Shop) -> support.Shop:
    """Orders of 2000 rows, at revision 0001."""
    empty.as_owner(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0001')",
        "CREATE TABLE orders (id bigserial PRIMARY KEY, status varchar(10) NOT NULL CHECK (status IN ('new', 'paid')),"
        " total numeric(10, 2), at timestamptz DEFAULT now(), extra jsonb)",
        "INSERT INTO orders (status, total, extra) SELECT CASE WHEN i % 2 = 0 THEN 'new' ELSE 'paid' END, i,"
        " jsonb_build_object('n', i) FROM generate_series(1, 2000) i",
        "GRANT SELECT ON orders TO shop_app",
    )
    return empty
