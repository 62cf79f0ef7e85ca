"""A proof reaches no other system, whatever a restored database wants to do by itself."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import materialized_views, seclusion
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from .server import PASSWORD, RUN_AS, TESTER, Server, Shop
from .test_healthy import database
from .test_restore import bring_back, free_port

OTHER = "other_system"


def wishes(server: Server) -> list[str]:
    """One database that reads another one in many ways: by its address, by its Unix socket, from functions."""
    by_address = (
        f"host=127.0.0.1 hostaddr=127.0.0.1 port={server.port} dbname={OTHER} user={TESTER} password={PASSWORD}"
    )
    by_socket = f"host={server.folder} port={server.port} dbname={OTHER} user={RUN_AS}"
    options = f"host '127.0.0.1', port '{server.port}', dbname '{OTHER}'"
    call = "dblink('{}', 'SELECT a FROM t') AS t(a int)"
    by_call = call.format(by_address)
    return [
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION dblink",
        f"CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({options})",
        f"CREATE USER MAPPING FOR {TESTER} SERVER far OPTIONS (user '{TESTER}', password '{PASSWORD}')",
        "CREATE FOREIGN TABLE far_t (a int) SERVER far OPTIONS (table_name 't')",
        "CREATE TABLE near (a int PRIMARY KEY)",
        "INSERT INTO near VALUES (1)",
        "CREATE MATERIALIZED VIEW by_near AS SELECT a FROM near",
        "CREATE MATERIALIZED VIEW by_fdw AS SELECT a FROM far_t",
        'CREATE MATERIALIZED VIEW "by; address" AS SELECT a FROM ' + by_call,
        "CREATE MATERIALIZED VIEW by_socket AS SELECT a FROM " + call.format(by_socket),
        f"CREATE FUNCTION far_f() RETURNS SETOF int LANGUAGE sql AS $$ SELECT a FROM public.{by_call} $$",
        "CREATE MATERIALIZED VIEW by_function AS SELECT * FROM far_f()",
        "CREATE MATERIALIZED VIEW by_another AS SELECT a FROM by_fdw",
        "CREATE MATERIALIZED VIEW never_filled AS SELECT a FROM far_t WITH NO DATA",
        "CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.far_f(); END $$",
        "CREATE EVENT TRIGGER tells ON ddl_command_end EXECUTE FUNCTION tell()",
        "ALTER EVENT TRIGGER tells ENABLE ALWAYS",
        f"CREATE SUBSCRIPTION far_s CONNECTION '{by_address}' PUBLICATION p WITH (connect = false)",
        "ALTER SUBSCRIPTION far_s ENABLE",
    ]


READ_ELSEWHERE = [
    'public."by; address"',
    "public.by_another",
    "public.by_fdw",
    "public.by_function",
    "public.by_socket",
]


@pytest.fixture(scope="module")
def reaching(server: Server) -> Iterator[Shop]:
    """A database with all these wishes, on a server that writes down who connects."""
    server.run("ALTER SYSTEM SET log_connections = on", "SELECT pg_reload_conf()")
    server.run("ALTER SYSTEM SET max_logical_replication_workers = 0")
    server.pg_ctl("restart", "-m", "fast")
    try:
        with (
            database(server, OTHER, "CREATE TABLE t AS SELECT 1 a"),
            database(server, "reaching", *wishes(server)) as shop,
        ):
            yield shop
    finally:
        server.run("ALTER SYSTEM RESET ALL")
        server.pg_ctl("restart", "-m", "fast")


def visits(server: Server) -> int:
    """How often anybody has connected to the other database."""
    return (server.folder / "log").read_text().count(f"database={OTHER}")


@pytest.mark.parametrize(("method", "left"), [("dump", READ_ELSEWHERE), ("basebackup", [])])
def test_a_proof_connects_to_nothing_and_says_what_it_left_out(reaching: Shop, method: str, left: list[str]) -> None:
    path = reaching.back_up(method)["path"]
    before = visits(reaching.server)
    assert before > 0, "control: the views were computed when they were made"
    receipt = reaching.prove(path, "sound")
    time.sleep(0.2)
    assert (receipt["level"], visits(reaching.server)) == ("sound", before)
    wanted = [f"the materialized view {name} was not computed, because it reads another system" for name in left]
    assert sorted(receipt["unchecked"]) == wanted


def test_a_cluster_from_such_a_dump_connects_to_nothing_either(reaching: Shop, folder: Path) -> None:
    path, port = reaching.back_up()["path"], free_port()
    before = visits(reaching.server)
    told = bring_back(reaching, path, target="cluster", folder=str(folder / "rescue"), cluster_port=port)
    time.sleep(0.2)
    assert visits(reaching.server) == before
    wanted = [f"REFRESH MATERIALIZED VIEW {name};  -- it reads another system" for name in READ_ELSEWHERE]
    assert sorted(told["next"][1:-1]) == wanted
    assert "max_logical_replication_workers = 0" in (folder / "rescue" / "postgresql.conf").read_text()


def test_a_view_that_cannot_be_computed_for_another_reason_is_told(shop: Shop) -> None:
    shop.run(
        "CREATE FUNCTION half() RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM orders $$",
        "CREATE MATERIALIZED VIEW halves AS SELECT half()",
    )
    with pytest.raises(
        DatabaseError, match=r"public\.halves cannot be computed: .*orders.*does not exist.*SET search_path"
    ):
        shop.proven()


@pytest.mark.parametrize(
    ("state", "text", "outside"),
    [
        ("08001", 'could not connect to server "far"', True),
        ("HV00N", "failed to connect to MySQL", True),
        ("38000", "OSError: [Errno 101] Network is unreachable", True),
        ("XX000", "Could not resolve host: rates.example", True),
        ("XX000", "Failed to connect to rates.example port 443", True),
        ("42883", "function f() does not exist", False),
        ("22012", "division by zero", False),
    ],
)
def test_which_errors_say_that_a_view_reads_another_system(state: str, text: str, outside: bool) -> None:
    assert materialized_views.reaches_out(DatabaseError(text, state)) is outside


TRY = """
import socket, sys
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import seclusion
seclusion.enter(seclusion.program())
for family, address in ((socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), (socket.AF_UNIX, sys.argv[2])):
    try:
        socket.socket(family).connect(address)
        print("connected")
    except OSError as error:
        print(error.errno)
socket.socket(socket.AF_UNIX).bind(sys.argv[2] + ".own")
socket.socketpair()
"""


def test_a_secluded_process_and_its_children_connect_to_nothing_but_can_listen(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as local:
        local.bind(path)
        local.listen()
        code = f"import sys; sys.path[:0] = {sys.path!r}\n{TRY}"
        argv = [sys.executable, "-c", code, str(listening.getsockname()[1]), path]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(seclusion.REFUSED)] * 2


def test_where_nothing_can_be_refused_nothing_is_started() -> None:
    with pytest.raises(DatabaseError, match="on a machine of the kind 'sparc64' Gradual cannot prevent it"):
        seclusion.program("sparc64")
