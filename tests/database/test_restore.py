"""Backups brought back: beside what is live, or in its place with all that was there kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import archive, restore, restore_database
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as server_facts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .playbook import play
from .server import OWNER, RUN_AS, Shop, meanwhile, programs, run_as, until


def bring_back(shop: Shop, path: str, work: Any = restore.restore, **changes: Any) -> dict[str, Any]:
    """What the module does and returns."""
    request = Request(
        **{
            "path": path,
            "socket_directory": str(shop.server.folder),
            "port": shop.server.port,
            "reserve_mib": 10,
            "timeout": 60,
            "deadline": 8,
            **changes,
        }
    )
    result: dict[str, Any] = as_user(RUN_AS, lambda: work(request))
    return result


@pytest.fixture(autouse=True)
def no_database_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    shop: Shop | None = request.getfixturevalue("shop") if "shop" in request.fixturenames else None
    yield
    if shop is None:
        return
    with shop.server.session() as session:
        for (name,) in session.rows(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, %s)", (shop.name + "_",)
        ):
            session.run(f'DROP DATABASE "{name}" WITH (FORCE)')


def databases(shop: Shop) -> set[str]:
    with shop.server.session() as session:
        return {
            row[0]
            for row in session.rows(
                "SELECT datname::text FROM pg_database WHERE starts_with(datname, %s)", (shop.name,)
            )
        }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_a_dump_comes_back_as_a_database_beside_the_live_one_with_its_settings_and_grants(
    shop: Shop, form: str
) -> None:
    shop.run(
        f"ALTER DATABASE {shop.name} SET work_mem TO '7MB'",
        f"GRANT CONNECT ON DATABASE {shop.name} TO shop_app",
        f"REVOKE ALL ON DATABASE {shop.name} FROM public",
        f"ALTER ROLE shop_app IN DATABASE {shop.name} SET jit TO 'off'",
    )
    taken = shop.back_up(format=form)
    shop.as_owner("DELETE FROM orders WHERE id > 5")
    told = bring_back(shop, taken["path"])
    name = f"{shop.name}_restored_{taken['receipt']['taken_at'].replace('-', '').replace(':', '')}"
    assert (told["database"], told["target"]) == (name, "database")
    assert told["next"][0].endswith(f'"dbname={name}"')
    assert shop.server.value("SELECT count(*) FROM orders", name) == 2000
    assert shop.value("SELECT count(*) FROM orders") == 5
    with shop.server.session(name) as session:
        assert session.value("SHOW work_mem") == "7MB"
        assert session.value("SELECT has_database_privilege('shop_app', current_database(), 'CONNECT')")
        assert (
            session.value("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()")
            == OWNER
        )
        assert session.value("SELECT has_table_privilege('shop_app', 'orders', 'SELECT')")
        assert session.rows(
            "SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid ="
            " s.setdatabase WHERE datname = current_database() AND setrole <> 0"
        ) == [("shop_app", ["jit=off"])]
    with pytest.raises(DatabaseError, match="already, and no restore overwrites it"):
        bring_back(shop, taken["path"])


def test_planning_reads_the_whole_backup_and_makes_nothing(shop: Shop) -> None:
    taken = shop.back_up()
    assert bring_back(shop, taken["path"], restore.plan)["message"].startswith(
        f"would restore {taken['receipt']['id']} as the new database"
    )
    assert databases(shop) == {shop.name}
    with open(os.path.join(taken["path"], "database.dump"), "r+b") as file:
        file.seek(-3, os.SEEK_END)
        byte = file.read(1)
        file.seek(-3, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DatabaseError, match=r"database\.dump was changed since the backup was taken"):
        bring_back(shop, taken["path"], restore.plan)


KEPT_FROM_DROPPING = {
    "nothing": (),
    "a template": ("ALTER DATABASE {name} IS_TEMPLATE true",),
    "no connections": ("ALTER DATABASE {name} CONNECTION LIMIT 0",),
    "a subscription": ("CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",),
    "a subscription beside a trigger against DROP": (
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$",
        "CREATE EVENT TRIGGER no_drop ON ddl_command_start WHEN tag IN ('DROP SUBSCRIPTION') EXECUTE FUNCTION refuse()",
        "ALTER EVENT TRIGGER no_drop ENABLE ALWAYS",
    ),
}


@pytest.mark.parametrize("statements", KEPT_FROM_DROPPING.values(), ids=KEPT_FROM_DROPPING)
def test_what_does_not_hold_what_its_receipt_says_is_not_left_behind(shop: Shop, statements: tuple[str, ...]) -> None:
    shop.run('CREATE ROLE "gone soon" ADMIN shop_app', 'GRANT SELECT ON orders TO "gone soon"')
    shop.run(*(one.format(name=shop.name) for one in statements))
    taken = shop.back_up()
    shop.run("DELETE FROM pg_event_trigger", "DELETE FROM pg_subscription", 'DROP OWNED BY "gone soon"')
    shop.run(f"ALTER DATABASE {shop.name} IS_TEMPLATE false CONNECTION LIMIT -1", 'DROP ROLE "gone soon"')
    tables = {**shop.digested(taken)["tables"], "public.orders": {"rows": 2001, "digest": "0"}}
    receipts.write(taken["path"], {**taken["receipt"], "tables": tables})
    with pytest.raises(DatabaseError, match=r"public\.orders has 2000 rows, expected 2001$"):
        bring_back(shop, taken["path"])
    assert databases(shop) == {shop.name}
    assert shop.value("SELECT count(*) FROM pg_roles WHERE rolname = 'gone soon'") == 0
    assert shop.value("SELECT count(*) FROM pg_subscription") == 0


def test_a_role_that_is_gone_is_made_again_without_a_password(shop: Shop) -> None:
    shop.run('CREATE ROLE "odd one" LOGIN CREATEDB IN ROLE shop_app', 'ALTER TABLE orders OWNER TO "odd one"')
    taken = shop.back_up()
    shop.run(f"ALTER TABLE orders OWNER TO {OWNER}", 'DROP OWNED BY "odd one"', 'DROP ROLE "odd one"')
    told = bring_back(shop, taken["path"], database=f"{shop.name}_again")
    try:
        assert told["roles_made"] == ["odd one"]
        with shop.server.session() as session:
            assert session.rows(
                "SELECT rolcreatedb, rolsuper, rolpassword IS NULL, pg_has_role(rolname, 'shop_app', 'MEMBER')"
                " FROM pg_authid WHERE rolname = 'odd one'"
            ) == [(True, False, True, True)]
    finally:
        shop.run(f"DROP DATABASE {shop.name}_again", 'DROP ROLE "odd one"')


@pytest.mark.parametrize(
    ("changes", "level", "reason"),
    [
        ({"in_place": "another"}, "restored", "in_place: got 'another', expected the backup's database"),
        (
            {},
            "readable",
            "is proven to the level 'readable'; to replace live data, 'restored' is needed",
        ),
        ({}, "restored", "is of the cluster 1, this cluster is"),
        ({}, "restored", "is of PostgreSQL 14, this server is 15; it replaces no database of another major version"),
    ],
)
def test_what_may_not_replace_the_live_database(shop: Shop, changes: dict[str, str], level: str, reason: str) -> None:
    taken = shop.back_up()
    identifier = "1" if "of the cluster" in reason else taken["receipt"]["system_identifier"]
    version = 140000 if "PostgreSQL 14" in reason else taken["receipt"]["server_version"]
    changed = {"level": level, "system_identifier": identifier, "server_version": version}
    receipts.write(taken["path"], {**taken["receipt"], **changed})
    with pytest.raises(DatabaseError, match=reason):
        bring_back(shop, taken["path"], **{"in_place": shop.name, **changes})
    assert databases(shop) == {shop.name}


def test_in_place_the_live_database_is_kept_and_its_clients_are_back_on_the_restored_one(shop: Shop) -> None:
    path = shop.proven()["path"]
    shop.as_owner("DELETE FROM orders WHERE id > 5", "INSERT INTO orders (status, total) VALUES ('new', 77)")
    ended = threading.Event()
    seen: list[int] = []

    def client() -> None:
        """A pool in small: it comes back whenever it was thrown out."""
        while not ended.is_set():
            with contextlib.suppress(DatabaseError), Session({"dsn": shop.url}, "pool") as session:
                while not ended.is_set():
                    seen.append(session.value("SELECT count(*) FROM orders"))

    with meanwhile(client):
        try:
            until(lambda: seen)
            told = bring_back(shop, path, in_place=shop.name)
            until(lambda: seen[-1] == 2000)
        finally:
            ended.set()
    assert set(seen) == {6, 2000}
    assert databases(shop) == {shop.name, told["aside"]}
    assert shop.server.value("SELECT count(*) FROM orders WHERE total = 77", told["aside"]) == 1
    assert told["aside"] in told["message"]


def test_a_database_is_not_replaced_while_a_migration_holds_it(shop: Shop) -> None:
    path = shop.proven()["path"]
    with shop.session() as session:
        session.run("SELECT pg_advisory_lock(%s, %s)", server_facts.LOCK)
        with pytest.raises(DatabaseError, match="cannot run now: "):
            bring_back(shop, path, in_place=shop.name, deadline=0.3)
    assert databases(shop) == {shop.name}


def test_names_that_cannot_be_exchanged_leave_everything_as_it_was(shop: Shop) -> None:
    path = shop.proven()["path"]
    receipt = receipts.read(path)
    way = restore_database.DatabaseInPlace(
        Request(path=path, socket_directory=str(shop.server.folder), port=shop.server.port, in_place=shop.name),
        receipt,
        None,  # type: ignore[arg-type]
    )
    shop.server.run(f'CREATE DATABASE "{way.name}"', f'CREATE DATABASE "{way.aside}"')
    with pytest.raises(DatabaseError, match="was not replaced and is unchanged"):
        as_user(RUN_AS, way._swap)
    assert databases(shop) == {shop.name, way.name, way.aside}
    assert shop.value("SELECT count(*) FROM orders") == 2000


def test_ended_while_it_keeps_users_out_it_lets_them_in_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.proven()["path"]
    way = restore_database.DatabaseInPlace(
        Request(path=path, socket_directory=str(shop.server.folder), port=shop.server.port, in_place=shop.name),
        receipts.read(path),
        None,  # type: ignore[arg-type]
    )
    kept_out = "SELECT NOT datallowconn FROM pg_database WHERE datname = current_database()"

    kept = shop.server.folder / f"kept-out-{shop.name}"

    def ended(session: Session, *_others: Any) -> None:
        kept.write_text(str(session.value("SELECT NOT datallowconn FROM pg_database WHERE datname = %s", (shop.name,))))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(restore_database, "_end_sessions", ended)
    with pytest.raises(DatabaseError):
        as_user(RUN_AS, way._swap)
    assert kept.read_text() == "True"
    assert shop.value(kept_out) is False
    monkeypatch.setattr(restore_database, "_end_sessions", lambda session, *_others: session.close())
    with pytest.raises(DatabaseError, match="was not replaced and is unchanged"):
        as_user(RUN_AS, way._swap)
    assert shop.value(kept_out) is False


def test_a_dump_comes_back_as_a_cluster_of_its_own(shop: Shop, folder: Path) -> None:
    taken = shop.back_up()
    port = free_port()
    planned = bring_back(
        shop, taken["path"], restore.plan, target="cluster", folder=str(folder / "rescue"), cluster_port=port
    )
    assert not (folder / "rescue").exists()
    told = bring_back(shop, taken["path"], target="cluster", folder=str(folder / "rescue"), cluster_port=port)
    assert planned["folder"] == told["folder"] == str(folder / "rescue")
    there = {"dbname": shop.name, "host": str(shop.server.folder), "port": str(port)}
    assert as_user(RUN_AS, lambda: _rows(there)) == [2000, "on"]
    assert f"--port {port}" in told["next"][0]
    with pytest.raises(DatabaseError, match="exists already, and no restore overwrites it"):
        bring_back(shop, taken["path"], target="cluster", folder=str(folder / "rescue"), cluster_port=port)
    with pytest.raises(DatabaseError, match=f"port {port} is in use already"):
        bring_back(shop, taken["path"], target="cluster", folder=str(folder / "other"), cluster_port=port)
    assert sorted(one.name for one in folder.iterdir()) == ["rescue"]


def _rows(parameters: dict[str, str]) -> list[Any]:
    with Session(parameters) as session:
        return [session.value("SELECT count(*) FROM orders"), session.value("SHOW fsync")]


def test_a_copy_of_the_files_comes_back_as_a_cluster_and_in_the_place_of_a_stopped_one(
    shop: Shop, folder: Path
) -> None:
    """The cluster that is replaced is itself one that was restored: it has the system identifier of the backup."""
    path = shop.prove(shop.back_up("basebackup")["path"])["path"]
    rescue, port = str(folder / "rescue"), free_port()
    bring_back(shop, path, folder=rescue, cluster_port=port)
    there = {"dbname": shop.name, "host": str(shop.server.folder), "port": str(port)}
    assert as_user(RUN_AS, lambda: _rows(there)) == [2000, "on"]

    def lose() -> None:
        with Session(there) as session:
            session.run("DELETE FROM orders")

    as_user(RUN_AS, lose)
    control = [str(programs() / "pg_ctl"), "-D", rescue, "-l", f"{rescue}/log", "-w"]
    with pytest.raises(DatabaseError, match="is running; stop it"):
        bring_back(shop, path, target="cluster", folder=rescue, in_place=shop.name)
    run_as([*control, "-m", "fast", "stop"])
    told = bring_back(shop, path, folder=rescue, in_place=shop.name)
    assert sorted(one.name for one in folder.iterdir()) == sorted(["rescue", Path(told["aside"]).name])
    run_as([*control, "start"])
    assert as_user(RUN_AS, lambda: _rows(there)) == [2000, "on"]
    run_as([*control, "-m", "fast", "stop"])
    shutil.rmtree(rescue)
    os.rename(told["aside"], rescue)
    run_as([*control, "start"])
    assert as_user(RUN_AS, lambda: _rows(there)) == [0, "on"]


def test_a_copy_of_files_is_not_put_in_the_place_of_a_cluster_of_another_major_version(
    shop: Shop, folder: Path
) -> None:
    """As after pg_upgrade, with the old version's programs still there; the same folder is replaced when its version is
    the backup's."""
    path = shop.prove(shop.back_up("basebackup")["path"])["path"]
    rescue, port = str(folder / "rescue"), free_port()
    bring_back(shop, path, folder=rescue, cluster_port=port)
    run_as([str(programs() / "pg_ctl"), "-D", rescue, "-w", "-m", "fast", "stop"])
    version = folder / "rescue" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(DatabaseError, match=r"is of PostgreSQL 15, the cluster in .* is of PostgreSQL 17") as refused:
        bring_back(shop, path, folder=rescue, in_place=shop.name)
    assert "No other major version can read its files: restore it as a cluster of PostgreSQL 15" in str(refused.value)
    assert [one.name for one in folder.iterdir()] == ["rescue"], "nothing was put aside"
    version.write_text("15\n")
    assert bring_back(shop, path, folder=rescue, in_place=shop.name)["aside"].startswith(f"{rescue}.before-")


@pytest.mark.parametrize(
    ("method", "way"),
    [
        ("basebackup", "with pg_dump and pg_restore of the newer version"),
        ("dump", "A newer version takes it as a new database"),
    ],
)
def test_on_a_host_without_the_programs_of_the_backups_version_the_way_is_named(
    shop: Shop, folder: Path, method: str, way: str
) -> None:
    taken = shop.back_up(method)
    tools = {**taken["receipt"]["tools"], "folder": str(folder / "nothing")}
    receipts.write(taken["path"], {**taken["receipt"], "tools": tools})
    with pytest.raises(
        DatabaseError, match=r"is a backup of PostgreSQL 15 .*: install them \(postgresql-15\)"
    ) as refused:
        bring_back(shop, taken["path"], target="cluster", folder=str(folder / "rescue"), cluster_port=free_port())
    assert way in str(refused.value)


def test_one_database_is_not_taken_out_of_a_copy_of_files(shop: Shop) -> None:
    taken = shop.back_up()
    receipts.write(taken["path"], {**taken["receipt"], "method": "basebackup"})
    with pytest.raises(
        DatabaseError, match="from which one database cannot be restored into another cluster; set target: cluster"
    ):
        bring_back(shop, taken["path"], target="database")


def test_a_restore_point_is_written_and_a_dump_cannot_be_restored_to_it(shop: Shop) -> None:
    planned = bring_back(shop, "", restore.plan_point, point="before-import")
    assert (planned["lsn"], planned["archived"]) == (None, False)
    made = bring_back(shop, "", restore.make_point, point="before-import")
    assert made["lsn"] in made["message"]
    assert made["timeline"] == 1
    with pytest.raises(DatabaseError, match="letters, digits"):
        bring_back(shop, "", restore.make_point, point="before import'")
    with pytest.raises(DatabaseError, match="use a backup of the method pgbackrest"):
        bring_back(shop, shop.back_up()["path"], point="before-import")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("CREATE DATABASE shop WITH TEMPLATE = template0;", 'CREATE DATABASE "new" WITH TEMPLATE = template0;'),
        ('ALTER DATABASE "shop" OWNER TO shop;', 'ALTER DATABASE "new" OWNER TO shop;'),
        ("GRANT CONNECT ON DATABASE shop TO shop;", 'GRANT CONNECT ON DATABASE "new" TO shop;'),
        ("ALTER ROLE shop IN DATABASE shop SET jit TO 'off';", "ALTER ROLE shop IN DATABASE \"new\" SET jit TO 'off';"),
        ("ALTER DATABASE shop SET search_path TO shop;", 'ALTER DATABASE "new" SET search_path TO shop;'),
        ("ALTER DATABASE shop_two OWNER TO shop;", "ALTER DATABASE shop_two OWNER TO shop;"),
    ],
)
def test_statements_on_a_database_get_its_new_name(line: str, wanted: str) -> None:
    assert archive.renamed(line, "shop", "new").rstrip("\n") == wanted


def test_only_roles_that_are_missing_are_made() -> None:
    text = (
        'CREATE ROLE a;\nALTER ROLE a WITH LOGIN;\nCREATE ROLE "b c";\nALTER ROLE "b c" WITH NOLOGIN;\nALTER ROLE a SET'
        ' x TO \'y\';\nGRANT a TO "b c" GRANTED BY postgres;\nGRANT "b c" TO a GRANTED BY postgres;\n'
    )
    assert restore_database.roles(text, {"a"}) == (
        ["b c"],
        'CREATE ROLE "b c";\nALTER ROLE "b c" WITH NOLOGIN;\nGRANT a TO "b c" GRANTED BY postgres;\n',
    )


PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    gradual.rollout.backup: {socket_directory: "{{ socket }}", port: "{{ shop_port }}", run_as: "{{ user }}"}
    gradual.rollout.restore:
      {socket_directory: "{{ socket }}", port: "{{ shop_port }}", run_as: "{{ user }}", reserve_mib: 10}
  tasks:
    - gradual.rollout.backup:
        {application: shop, database: "{{ shop_database }}", destination: "{{ backups }}", reserve_mib: 10}
      register: taken
      check_mode: false
    - gradual.rollout.restore: {path: "{{ taken.path }}", database: "{{ shop_database }}_again"}
      register: restored
    - gradual.rollout.restore: {state: point, point: here}
      register: named
    - ansible.builtin.copy:
        {dest: "{{ result }}", mode: "0600", content: "{{ {'restored': restored, 'named': named} | to_json }}"}
      check_mode: false
"""


def test_check_mode_tells_what_would_be_done_and_the_module_then_does_it(shop: Shop, tmp_path: Path) -> None:
    told, _printed = play(shop, tmp_path, PLAY, "--check")
    assert told["restored"]["message"].startswith("would restore shop-")
    assert told["named"]["lsn"] is None
    assert databases(shop) == {shop.name}
    told, _printed = play(shop, tmp_path, PLAY)
    assert told["restored"]["changed"]
    assert databases(shop) == {shop.name, f"{shop.name}_again"}
    assert told["named"]["message"].startswith("the restore point here is at ")
