"""A migration moves the database or says why not; it stalls nobody, and what is killed leaves nothing that the next run
cannot mend."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.migration import steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.alembic import Alembic
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import running_sessions
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed, Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .goings_on import columns, receipt_by_hand, transaction, users, valid, waited
from .server import OWNER, PASSWORD, Shop, meanwhile, revision, until
from .test_adapters import WAIT

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")
INDEX = revision(3, "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)", concurrently=True)
GOODBYE = revision(4, "ALTER TABLE orders DROP COLUMN extra", phase="contract")


@pytest.fixture
def receipt(shop: Shop) -> dict[str, Any]:
    """What a proven backup of the shop as it is now would have, written by hand: quicker than a restore for each
    test."""
    return receipt_by_hand(shop)


def test_expand_goes_step_by_step_and_a_second_run_changes_nothing(shop: Shop) -> None:
    receipt = shop.proven()
    release = shop.release(FIRST, COLUMN, INDEX, GOODBYE)
    done = shop.migrate(release, receipt)
    assert [(one["revision"], one["from"], one["attempts"], one["lock_waits"]) for one in done["applied"]] == [
        ("0002", "0001", 1, 0),
        ("0003", "0002", 1, 0),
    ]
    assert (done["from"], done["to"], shop.revision()) == ("0001", "0003", "0003")
    assert [one["revision"] for one in done["left"]] == ["0004"]
    assert valid(shop, "orders_note") is True
    # Nothing to do needs no receipt.
    again = shop.migrate(release, None)
    assert (again["applied"], again["to"]) == ([], "0003")
    # The receipt is from 0001, which lies behind the present revision, so it stands for contract too.
    assert shop.migrate(release, receipt, phase="contract")["to"] == "0004"
    assert "extra" not in columns(shop)
    assert shop.value("SELECT tableowner FROM pg_tables WHERE tablename = 'alembic_version'") == OWNER


def test_a_first_release_starts_from_an_empty_database(empty: Shop) -> None:
    release = empty.release(revision(1, "CREATE TABLE orders (id int)"), COLUMN)
    assert empty.migrate(release, empty.proven())["to"] == "0002"


def test_looking_changes_nothing_and_needs_no_receipt(shop: Shop) -> None:
    adapter = Alembic(str(shop.release(FIRST, COLUMN, INDEX, GOODBYE)), "migrations")
    with Migrator(shop.request(variables={}), adapter) as migrator:
        assert [one.revision for one in migrator.plan()] == ["0002", "0003"]
        told = migrator.info()
    assert [(one["revision"], one["phase"]) for one in told["pending"]] == [
        ("0002", "expand"),
        ("0003", "expand"),
        ("0004", "contract"),
    ]
    assert shop.revision() == "0001"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"level": "readable"}, "expected 'restored'"),
        ({"database": "other"}, "of the database 'other'"),
        ({"system_identifier": "1"}, "of the cluster 1"),
        ({"timeline": 7}, "timeline 7"),
        ({"revision": "0002"}, "not an ancestor"),
        ({"taken_at": "2020-01-01T00:00:00Z"}, "hours old"),
        ({"canary": {"id": 4711, "run": "of the earlier database"}}, "the database was replaced since then"),
    ],
)
def test_a_receipt_that_does_not_fit_stops_everything(
    shop: Shop, receipt: dict[str, Any], change: dict[str, Any], complaint: str
) -> None:
    release = shop.release(FIRST, COLUMN)
    with pytest.raises(MigrationFailed, match=complaint):
        shop.migrate(release, receipts.sealed({**receipt, **change}))
    assert shop.revision() == "0001"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (None, "no receipt of a backup"),
        ("/nowhere", "the receipt .*/nowhere.* cannot be read"),
        ({"level": "restored"}, "not a receipt"),
        ({}, "no receipt of a backup"),
    ],
)
def test_no_receipt_no_migration(shop: Shop, given: Any, complaint: str) -> None:
    with pytest.raises(MigrationFailed, match=complaint):
        shop.migrate(shop.release(FIRST, COLUMN), given)
    assert shop.revision() == "0001"


def test_a_receipt_may_be_named_by_its_folder_and_must_be_sealed_and_its_files_be_there(shop: Shop) -> None:
    receipt = shop.proven()
    release = shop.release(FIRST, COLUMN)
    Path(receipt["path"], "roles.sql").rename(Path(receipt["path"], "elsewhere"))
    with pytest.raises(MigrationFailed, match=r"roles\.sql is missing, expected"):
        shop.migrate(release, receipt)
    Path(receipt["path"], "elsewhere").rename(Path(receipt["path"], "roles.sql"))
    with pytest.raises(MigrationFailed, match="changed after it was sealed"):
        shop.migrate(release, {**receipt, "level": "restored", "revision": None})
    assert shop.migrate(release, receipt["path"])["to"] == "0002"


def test_a_proof_that_was_withdrawn_since_allows_nothing(shop: Shop) -> None:
    receipt = shop.proven()
    receipts.write(receipt["path"], {**receipt, "level": "taken", "problem": "not intact: a bit was flipped"})
    with pytest.raises(MigrationFailed, match="its level was withdrawn: not intact"):
        shop.migrate(shop.release(FIRST, COLUMN), receipt)
    assert shop.revision() == "0001"


def test_a_file_without_a_phase_is_not_run(shop: Shop, receipt: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="does not name its phase"):
        shop.migrate(shop.release(FIRST, revision(2, "DROP TABLE orders", phase=None)), receipt)
    assert shop.revision() == "0001"


def commit_after_wait(shop: Shop, reader: Session) -> None:
    """End the reader's transaction once the migration has waited for it and gone away again."""
    waited(shop)
    reader.run("COMMIT")


def test_an_error_is_told_in_the_databases_own_words_and_leaves_nothing(shop: Shop, receipt: dict[str, Any]) -> None:
    release = shop.release(
        FIRST,
        COLUMN,
        revision(3, "ALTER TABLE orders ADD COLUMN more int", "ALTER TABLE orders ADD COLUMN status text"),
    )
    with pytest.raises(MigrationFailed) as seen:
        shop.migrate(release, receipt)
    said = str(seen.value)
    assert said.startswith(
        'Revision 0003 (migrations/versions/0002.py) failed: column "status" of relation "orders" already exists. '
        "The database is at 0002, as before. It ran in one transaction, so nothing of it is left."
    )
    assert "deploy.yml" in said
    assert [one["revision"] for one in seen.value.result["applied"]] == ["0002"]
    assert "more" not in columns(shop)


def test_a_concurrent_index_that_fails_leaves_no_invalid_index(shop: Shop, receipt: dict[str, Any]) -> None:
    unique = revision(2, "CREATE UNIQUE INDEX CONCURRENTLY orders_by_status ON orders (status)", concurrently=True)
    with pytest.raises(
        MigrationFailed, match=r"could not create unique index.*dropped the invalid index public.orders_by_status"
    ):
        shop.migrate(shop.release(FIRST, unique), receipt)
    assert valid(shop, "orders_by_status") is None
    assert shop.revision() == "0001"


NAMES = ["", '"orders-status-key"', "orders_" + 70 * "x", "orders_by_status"]
IDS = ["none", "quoted", "long", "plain"]


@pytest.mark.parametrize("index", NAMES, ids=IDS)
def test_what_became_invalid_in_the_attempt_is_dropped_whatever_its_name(
    shop: Shop, receipt: dict[str, Any], index: str
) -> None:
    """An invalid unique index would still refuse values of the old code. One of somebody else's stays."""
    shop.as_owner("CREATE INDEX somebody_s ON orders (total)")
    shop.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'somebody_s'::regclass")
    unique = revision(2, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON orders (status)", concurrently=True)
    for _again in range(2):
        with pytest.raises(MigrationFailed, match=r"could not create unique index.*dropped the invalid index public\."):
            shop.migrate(shop.release(FIRST, unique), receipt)
        left = shop.value("SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE NOT indisvalid")
        assert left == ["somebody_s"]


@pytest.mark.parametrize("index", NAMES, ids=IDS)
def test_an_index_that_an_old_snapshot_made_invalid_refuses_no_value_afterwards(
    shop: Shop, receipt: dict[str, Any], index: str
) -> None:
    """The build waits for a transaction that never touched the table; its index is enforced by then."""
    shop.as_owner("CREATE TABLE others (id int)", "CREATE TABLE mails (id int, mail text)")
    unique = revision(2, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON mails (mail)", concurrently=True)
    with transaction(shop, "SELECT 1 FROM others"):
        with pytest.raises(MigrationFailed, match=r"waited longer than 2 s .*dropped the invalid index public\."):
            shop.migrate(shop.release(FIRST, unique), receipt, deadline=2)
        shop.as_owner("INSERT INTO mails VALUES (1, 'a@example.com'), (2, 'a@example.com')")


@pytest.mark.parametrize("index", ["", "their_s"], ids=["none", "other"])
def test_what_somebody_else_builds_in_the_meantime_is_named_and_stays(
    shop: Shop, receipt: dict[str, Any], index: str
) -> None:
    """The step waits for their build, which fails on the same table before ours does."""
    shop.as_owner("CREATE TABLE mails (id int, mail text)", "CREATE TABLE go (id int)")
    shop.as_owner("INSERT INTO mails VALUES (1, 'a'), (1, 'a')")
    unique = f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON mails (mail)"
    slow = revision(2, WAIT, unique, concurrently=True)

    def theirs() -> None:
        until(lambda: shop.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 120)
        with pytest.raises(DatabaseError, match="could not create unique index"):
            shop.as_owner("CREATE UNIQUE INDEX CONCURRENTLY ON mails (id, (mail || 'x'), (1))")
        shop.as_owner("INSERT INTO go VALUES (1)")

    with meanwhile(theirs), pytest.raises(MigrationFailed) as seen:
        shop.migrate(shop.release(FIRST, slow), receipt)
    said = str(seen.value)
    left = shop.value("SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE NOT indisvalid")
    assert len(left) == 1
    assert f"The invalid index public.{left[0]} on mails became invalid in the meantime" in said
    assert f'type in the database: DROP INDEX CONCURRENTLY "public"."{left[0]}"' in said
    assert said.count("dropped the invalid index") == 1


def test_an_index_without_a_name_of_a_run_that_was_killed_is_named_by_the_next_one(
    shop: Shop, receipt: dict[str, Any]
) -> None:
    shop.as_owner("CREATE TABLE mails (id int, mail text)", "CREATE INDEX mails_mail_idx ON mails (mail)")
    shop.as_owner("CREATE INDEX on_orders ON orders (total)")
    release = shop.release(FIRST, revision(2, "CREATE INDEX CONCURRENTLY ON mails (mail)", concurrently=True))
    with Migrator(shop.request(receipt=receipt), Alembic(str(release), "migrations")) as run:
        steps.begin(run.session, run.adapter, run.plan()[0])
    shop.run(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text IN ('mails_mail_idx', 'on_orders')"
    )
    (done,) = shop.migrate(release, receipt)["applied"]
    (said,) = (one for one in done["notes"] if "invalid" in one)
    assert said == (
        "the invalid index public.mails_mail_idx on mails may be of that attempt or of somebody else, so Gradual leaves"
        ' it. If nobody builds it again, type in the database: DROP INDEX CONCURRENTLY "public"."mails_mail_idx"'
    )


def test_an_invalid_index_that_cannot_be_dropped_is_named(shop: Shop, receipt: dict[str, Any]) -> None:
    unique = revision(2, 'CREATE UNIQUE INDEX CONCURRENTLY "by id" ON orders (id)', concurrently=True)
    with transaction(shop, "SELECT 1 FROM orders LIMIT 1"), pytest.raises(MigrationFailed) as seen:
        shop.migrate(shop.release(FIRST, unique), receipt, deadline=1)
    said = str(seen.value)
    assert "An invalid index of this attempt could not be dropped" in said
    assert said.endswith('Type in the database: DROP INDEX CONCURRENTLY "public"."by id".')
    assert "The running code is not affected" not in said


def test_if_not_exists_does_not_believe_in_an_invalid_index(shop: Shop, receipt: dict[str, Any]) -> None:
    shop.as_owner(
        "ALTER TABLE orders ADD COLUMN note text",
        "CREATE INDEX orders_note ON orders (note)",
        "UPDATE alembic_version SET version_num = '0002'",
    )
    shop.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_note'::regclass")
    done = shop.migrate(shop.release(FIRST, COLUMN, INDEX), receipts.sealed({**receipt, "revision": "0002"}))
    assert valid(shop, "orders_note") is True
    assert done["applied"][0]["notes"] == [
        "dropped the invalid index public.orders_note on orders that an attempt left"
    ]


@pytest.mark.parametrize("env", ["raise SystemExit(0)", "context.configure(url=url, as_sql=True)\nraise SystemExit(0)"])
def test_a_status_of_0_without_movement_is_a_failure(shop: Shop, receipt: dict[str, Any], env: str) -> None:
    with pytest.raises(MigrationFailed, match="ended with status 0, but is not applied"):
        shop.migrate(shop.release(FIRST, COLUMN, env=env), receipt)
    assert shop.revision() == "0001"


def test_an_error_after_the_commit_is_told_as_what_it_is(shop: Shop, receipt: dict[str, Any]) -> None:
    release = shop.release(FIRST, COLUMN, env="import atexit, os as system\natexit.register(system._exit, 3)")
    step = shop.migrate(release, receipt)["applied"][0]
    assert "ended with status 3" in step["notes"][0]
    assert "according to the database it is applied" in step["notes"][0]


def test_concurrently_waits_no_longer_than_the_deadline_for_an_old_transaction(
    shop: Shop, receipt: dict[str, Any]
) -> None:
    release = shop.release(
        FIRST, revision(2, "CREATE INDEX CONCURRENTLY orders_status ON orders (status)", concurrently=True)
    )
    with transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader:
        pid = reader.value("SELECT pg_backend_pid()")
        # Dropping the half-made index waits for older transactions too.
        with (
            meanwhile(lambda: commit_after_wait(shop, reader)),
            pytest.raises(
                MigrationFailed,
                match=rf"waited longer than 2 s for older transactions to end \(pid {pid} .*dropped the invalid index",
            ),
        ):
            shop.migrate(release, receipt, deadline=2)
    with shop.session() as session:
        assert running_sessions(session) == []


def test_an_alter_hidden_among_concurrent_statements_stalls_nobody_either(shop: Shop, receipt: dict[str, Any]) -> None:
    mixed = revision(
        2,
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)",
        concurrently=True,
    )
    release = shop.release(FIRST, mixed)
    with (
        users(shop) as took,
        transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader,
        meanwhile(lambda: commit_after_wait(shop, reader)),
    ):
        step = shop.migrate(release, receipt, deadline=60)["applied"][0]
    assert step["lock_waits"] >= 1
    assert valid(shop, "orders_note") is True
    assert max(took) < 0.5


def test_two_migrators_at_once_are_one_after_the_other(shop: Shop, receipt: dict[str, Any]) -> None:
    with shop.session() as other:
        assert live.try_lock(other, shared=False)
        with pytest.raises(MigrationFailed, match=r"cannot run now: test, pid \d+.* did not end within 1 s"):
            shop.migrate(shop.release(FIRST, COLUMN), receipt, deadline=1)
        releasing = threading.Timer(1, other.close)
        releasing.start()
        assert shop.migrate(shop.releases[0], receipt)["to"] == "0002"
        releasing.join()


def test_the_way_there_must_lead_to_this_database(shop: Shop, receipt: dict[str, Any]) -> None:
    release = shop.release(FIRST, COLUMN)
    elsewhere = shop.url.replace(f"/{shop.name}", "/postgres")
    with pytest.raises(MigrationFailed, match="leads to another server or database"):
        shop.migrate(release, receipt, variables={"DATABASE_URL": elsewhere})
    assert shop.revision() == "0001"


def test_a_wrong_password_is_told_before_anything_is_done_and_without_the_password(
    shop: Shop, receipt: dict[str, Any]
) -> None:
    release = shop.release(FIRST, COLUMN)
    with pytest.raises(MigrationFailed, match="password authentication failed") as seen:
        shop.migrate(release, receipt, variables={"DATABASE_URL": shop.url.replace(PASSWORD, "wrong-horse-battery")})
    assert "wrong-horse" not in str(seen.value)
    assert "Nothing was changed" in str(seen.value)


def test_what_env_py_prints_of_its_address_reaches_nobody(shop: Shop, receipt: dict[str, Any]) -> None:
    release = shop.release(FIRST, COLUMN, env="raise RuntimeError('cannot use ' + os.environ['DATABASE_URL'])")
    with pytest.raises(MigrationFailed, match="cannot use") as seen:
        shop.migrate(release, receipt)
    assert PASSWORD not in str(seen.value) + str(seen.value.result)


def test_an_older_release_does_not_touch_a_newer_database(shop: Shop, receipt: dict[str, Any]) -> None:
    shop.as_owner("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(DatabaseError, match="at revision 0009, which is none of the 2"):
        shop.migrate(shop.release(FIRST, COLUMN), receipt)


def test_a_release_that_cannot_be_read_is_told(shop: Shop, receipt: dict[str, Any]) -> None:
    release = shop.release(FIRST, COLUMN)
    (release / ".venv").unlink()
    with pytest.raises(MigrationFailed, match=r"cannot be run in .*; check that the release is staged"):
        shop.migrate(release, receipt)
