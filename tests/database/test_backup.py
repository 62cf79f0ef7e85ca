"""A backup counts when it was restored and compared; every damage is seen, at the level that promises to see it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, sequences
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import PREFIX
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .goings_on import writing
from .server import OWNER, RUN_AS, Server, Shop, end_now, programs, run_as, until

SCHEMA = json.loads(
    (
        Path(__file__).parents[2] / "collections/ansible_collections/gradual/rollout/schemas/receipt.schema.json"
    ).read_text()
)
EVERYTHING = (
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    (
        'CREATE TABLE "odd ""name" ("gradual" int, "whole row" text, mood mood, doubled int GENERATED ALWAYS AS'
        ' ("gradual" * 2) STORED)'
    ),
    "INSERT INTO \"odd \"\"name\" VALUES (1, 'ä\\\\', 'good'), (2, NULL, NULL)",
    "CREATE TABLE nothing ()",
    "INSERT INTO nothing DEFAULT VALUES",
    "CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at)",
    "CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "INSERT INTO parts VALUES (1, '2026-05-01'), (1, '2026-05-01')",
    "CREATE UNLOGGED TABLE cache (a float8, b interval, c bytea, d money)",
    "INSERT INTO cache VALUES (0.1, '1 day 2 hours', '\\x00ff', 12.3)",
    "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM orders",
    "CREATE VIEW fresh AS SELECT * FROM orders WHERE status IN ('new', 'paid')",
    "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$ SELECT a -- a comment\n $$",
    "CREATE TABLE secret (id int, dropped int)",
    "ALTER TABLE secret DROP COLUMN dropped",
    "INSERT INTO secret VALUES (1)",
    "ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE secret FORCE ROW LEVEL SECURITY",
    "CREATE TABLE self (id int PRIMARY KEY, parent int REFERENCES self)",
    "SELECT lo_from_bytea(0, 'a large object')",
    "CREATE SEQUENCE unused",
)


@pytest.mark.parametrize("format", ["custom", "directory"])
def test_everything_that_postgresql_holds_comes_back_the_same(shop: Shop, format: str) -> None:  # noqa: A002
    shop.as_owner(*EVERYTHING)
    shop.run(
        f"ALTER DATABASE {shop.name} SET timezone = 'Asia/Kolkata'",
        f"ALTER DATABASE {shop.name} SET datestyle = 'German'",
        "CREATE EXTENSION pg_trgm",
        f"ALTER ROLE {OWNER} SET extra_float_digits = -3",
    )
    taken = shop.back_up(format=format)
    assert taken["receipt"]["level"] == "taken"
    receipt = shop.prove(taken["path"])
    assert receipt["level"] == "restored"
    assert list(receipt["levels"]) == ["taken", "intact", "readable", "restored"]
    assert receipt["revision"] == "0001"
    assert receipt["tables"]["public.parts_a"] == {"rows": 2, "digest": receipt["tables"]["public.parts_a"]["digest"]}
    assert "public.parts" not in receipt["tables"]
    assert receipt["tables"]["large objects"]["rows"] == 1
    assert receipt["database"] == shop.name
    assert receipt["system_identifier"] == shop.value("SELECT system_identifier::text FROM pg_control_system()")
    assert receipts.read(taken["path"]) == receipt
    jsonschema.validate(receipt, SCHEMA)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_comes_back_the_same(shop: Shop, encoding: str) -> None:
    name = f"{shop.name}_other"
    shop.run(
        f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    other = Shop(shop.server, name, shop.environment)
    other.run(
        "SET client_encoding = 'UTF8'",
        "CREATE TABLE caf\u00e9 (t text)" if encoding == "LATIN1" else "CREATE TABLE cafe (t text)",
        (
            "INSERT INTO caf\u00e9 VALUES ('\u00e4')"
            if encoding == "LATIN1"
            else "INSERT INTO cafe VALUES (convert_from('\\xe4', 'SQL_ASCII'))"
        ),
    )
    try:
        assert other.proven()["level"] == "restored"
    finally:
        shop.run(f"DROP DATABASE {name}")


def test_who_wants_a_whole_table_during_the_dump_is_let_pass(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    truncating: list[threading.Thread] = []
    read = sequences.read

    def and_truncate(session: Session, *more: Any) -> dict[str, int | None]:
        """Somebody empties the table just after the snapshot was taken."""
        if not truncating:
            truncating.append(threading.Thread(target=shop.run, args=["TRUNCATE orders"]))
            truncating[0].start()
            time.sleep(0.3)
        return read(session, *more)

    monkeypatch.setattr(sequences, "read", and_truncate)
    taken = shop.back_up()
    assert shop.value("SELECT count(*) FROM orders") == 0
    assert shop.digested(taken)["tables"]["public.orders"]["rows"] == 0
    assert shop.prove(taken["path"])["level"] == "restored"


def test_an_empty_database_is_backed_up_and_proven_in_seconds(empty: Shop) -> None:
    begun = time.monotonic()
    receipt = empty.proven()
    assert time.monotonic() - begun < 8
    assert (receipt["level"], receipt["revision"]) == ("restored", None)
    assert {name: told["rows"] for name, told in receipt["tables"].items()} == {
        "gradual.backfill": 0,
        "gradual.canary": 1,
        "gradual.migration_step": 0,
    }


def test_rows_that_are_written_during_the_dump_are_no_difference(shop: Shop) -> None:
    shop.as_owner(
        "INSERT INTO orders (status, extra) SELECT 'new', jsonb_build_object('n', repeat(md5(i::text), 20)) FROM"
        " generate_series(1, 30000) i"
    )
    with writing(shop, 32050):
        taken = shop.back_up()
    receipt = shop.prove(taken["path"])
    assert receipt["level"] == "restored"
    assert receipt["tables"]["public.orders"]["rows"] < shop.value("SELECT count(*) FROM orders")


def flip(path: Path, share: float = 0.6) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x10
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit flipped": lambda folder: flip(folder / "database.dump"),
    "cut in half": lambda folder: os.truncate(folder / "database.dump", (folder / "database.dump").stat().st_size // 2),
    "emptied": lambda folder: os.truncate(folder / "database.dump", 0),
    "dump missing": lambda folder: (folder / "database.dump").unlink(),
    "roles missing": lambda folder: (folder / "roles.sql").unlink(),
    "schema edited": lambda folder: (folder / "schema.sql").write_text("SELECT 1;\n"),
    "foreign file": lambda folder: (folder / "more").write_text("x"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_damage_is_ever_accepted(shop: Shop, damage: str) -> None:
    path = shop.back_up()["path"]
    assert shop.prove(path)["level"] == "restored"
    DAMAGE[damage](Path(path))
    with pytest.raises(DatabaseError, match=r"is not intact: .*Take a new one"):
        shop.prove(path)
    assert receipts.read(path)["level"] == "taken"
    assert "not intact" in receipts.read(path)["problem"]
    good, _broken = store.survey(shop.backups)
    assert store.newest_proven(good) is None


def reseal(folder: str) -> None:
    """What somebody does who wants to be believed: checksums and seal fit again."""
    receipts.write(folder, {**receipts.read(folder), "files": store.summed(folder)})


def test_damage_that_fits_its_checksum_is_seen_by_decoding(shop: Shop) -> None:
    path = shop.back_up()["path"]
    os.truncate(f"{path}/database.dump", os.path.getsize(f"{path}/database.dump") - 3000)
    reseal(path)
    with pytest.raises(DatabaseError, match="is not readable"):
        shop.prove(path)
    assert receipts.read(path)["level"] == "intact"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            "UPDATE orders SET total = total + 0.01 WHERE id = 7",
            r"public.orders has 2000 rows as expected, but other contents",
        ),
        ("DELETE FROM orders WHERE id = 7", "public.orders has 1999 rows, expected 2000"),
        ("DROP TABLE orders", "public.orders is missing"),
        ("UPDATE alembic_version SET version_num = '0002'", "is at revision 0002, expected 0001"),
        ("ALTER TABLE orders ADD CHECK (total > -1)", "the schema differs: .*orders_total_check"),
        ("REVOKE SELECT ON orders FROM shop_app", "the schema differs: .*GRANT SELECT"),
        (
            "SELECT setval('orders_id_seq', 1)",
            "sequence public.orders_id_seq continues at 2 in the restored copy, expected 2001",
        ),
    ],
)
def test_a_readable_dump_of_other_contents_is_seen_by_the_restore_only(
    shop: Shop, change: str, difference: str
) -> None:
    path = shop.back_up()["path"]
    shop.as_owner(change)
    other = shop.back_up()["path"]
    os.replace(f"{other}/database.dump", f"{path}/database.dump")
    reseal(path)
    assert shop.prove(path, "readable")["level"] == "readable"
    with pytest.raises(DatabaseError, match=difference):
        shop.prove(path)
    assert receipts.read(path)["level"] == "readable"


def test_a_flip_in_a_table_of_a_directory_dump_is_seen_even_if_it_decodes(shop: Shop) -> None:
    path = shop.back_up(format="directory")["path"]
    table = max(Path(path, "database").glob("*.dat.gz"), key=lambda file: file.stat().st_size)
    table.write_bytes(gzip.compress(gzip.decompress(table.read_bytes()).replace(b"\tpaid\t1.00", b"\tpaid\t1.01", 1)))
    reseal(path)
    assert shop.prove(path, "readable")["level"] == "readable"
    with pytest.raises(DatabaseError, match="other contents"):
        shop.prove(path)


def test_a_receipt_of_the_first_version_is_compared_by_that_version(shop: Shop) -> None:
    shop.run("CREATE TABLE nested AS SELECT '[[1],2]'::jsonb b", "CREATE SEQUENCE unused")
    taken = shop.back_up()
    with shop.session() as session:
        contents.fix_text(session)
        tables = contents.tables(session, taken["receipt"]["server_version"], version=1)
    kept = {key: one for key, one in taken["receipt"].items() if key not in ("digest_version", "objects", "settings")}
    last = {"public.orders_id_seq": [2000, 2000], "gradual.canary_id_seq": [1, 1], "public.unused": [None, None]}
    receipts.write(taken["path"], {**kept, "tables": tables, "sequences": last})
    receipt = shop.prove(taken["path"])
    jsonschema.validate(receipt, SCHEMA)
    assert receipt["level"] == "restored"
    receipts.write(taken["path"], {**kept, "tables": shop.digested(taken)["tables"], "sequences": last})
    with pytest.raises(DatabaseError, match=r"public\.nested has 1 rows as expected, but other contents"):
        shop.prove(taken["path"])
    receipts.write(taken["path"], {**kept, "tables": tables, "sequences": {**last, "public.unused": [1, 1]}})
    with pytest.raises(DatabaseError, match=r"public\.unused continues at its start in the restored copy, expected 2"):
        shop.prove(taken["path"])


def test_a_receipt_that_was_edited_proves_nothing(shop: Shop) -> None:
    path = Path(shop.back_up()["path"])
    told = json.loads((path / "receipt.json").read_text())
    (path / "receipt.json").write_text(json.dumps({**told, "level": "restored"}))
    with pytest.raises(DatabaseError, match="changed after it was sealed"):
        shop.prove(str(path))


def test_nothing_is_left_of_a_drill_nor_of_one_that_was_killed(shop: Shop) -> None:
    path = shop.back_up()["path"]
    shop.prove(path)
    assert list(shop.server.folder.glob(PREFIX + "*")) == []
    code = (
        "import sys, time\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import scratch_cluster\n"
        f"with scratch_cluster({str(shop.server.folder)!r}, {str(programs())!r}, 'postgres') as scratch:\n"
        "    print(scratch.folder, flush=True)\n    time.sleep(60)\n"
    )
    demotion: dict[str, Any] = {}
    python = sys.executable
    if os.geteuid() == 0:
        demotion = {"user": RUN_AS, "group": RUN_AS, "extra_groups": []}
        python = "/usr/bin/python3"
    process = subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True, **demotion)
    assert process.stdout is not None
    folder = process.stdout.readline().strip()
    if not folder:
        pytest.skip("the system's Python has no psycopg")
    postmaster = int(Path(folder, "data", "postmaster.pid").read_text().splitlines()[0])
    end_now(process)
    until(
        lambda: (
            not Path(f"/proc/{postmaster}").exists() or "Z" in Path(f"/proc/{postmaster}/stat").read_text().split()[2]
        )
    )
    assert Path(folder).exists()
    shop.prove(path)
    assert not Path(folder).exists()


def test_retention_keeps_the_newest_and_the_newest_proven(shop: Shop) -> None:
    first = shop.back_up()["path"]
    shop.prove(first)
    second = shop.back_up(keep=2)["path"]
    third = shop.back_up(keep=2)
    assert third["removed"] == []
    fourth = shop.back_up(keep=2)
    assert fourth["removed"] == [second]
    shop.prove(fourth["path"])
    fifth = shop.back_up(keep=2)
    assert fifth["removed"] == [first, third["path"]]


def test_what_a_killed_backup_left_is_removed_by_the_next_one(shop: Shop) -> None:
    shop.back_up()
    partial = Path(shop.backups, store.PARTIAL + "shop-1")
    run_as(["mkdir", str(partial)])
    run_as(["touch", str(partial / "database.dump")])
    shop.back_up()
    assert not partial.exists()


def test_a_backup_does_not_begin_while_a_migration_runs(shop: Shop) -> None:
    with shop.session() as migrator:
        assert live.try_lock(migrator, shared=False)
        with pytest.raises(DatabaseError, match=r"cannot run now: test, pid \d+, since .* did not end within 1 s"):
            shop.back_up(deadline=1)
    assert shop.back_up()["receipt"]["level"] == "taken"


def test_a_table_that_stays_locked_ends_the_dump_in_time(shop: Shop) -> None:
    with shop.session() as other:
        other.run("BEGIN")
        other.run("LOCK TABLE orders")
        with pytest.raises(DatabaseError, match="canceling statement due to lock timeout"):
            shop.back_up(deadline=1)
    assert store.leftovers(shop.backups) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"database": "nosuch"}, 'database "nosuch" does not exist'),
        ({"application": "../etc"}, "application is part of a folder's name"),
        ({"port": 1}, "No such file or directory"),
    ],
)
def test_what_cannot_be_backed_up_is_told_plainly(
    shop: Shop, server: Server, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        shop.back_up(**changes)
