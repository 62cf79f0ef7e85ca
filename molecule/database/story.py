"""Deploys 2.0.0 to a streaming pair whose primary dies in the middle of a migration, and again to the standby that took
its place.

At the end the newest backup is brought back beside the live database.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator

from tests.support import fleet, prepare
from tests.support.manifests import release
from tests.support.story import Story
from tests.support.users import Users
from tests.support.waiting import until

# What users get of the features is other stories'; this one is over as soon as every host has the code.
RELEASE = release("epic21", features=[], stages=[100], backup={"method": "dump", "level": "sound"})
PROGRESS = "SELECT phase FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
BEHIND = (
    "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn) FROM pg_stat_replication WHERE application_name ="
    " 'db2' AND state = 'streaming'"
)
ALERTS = 'http://127.0.0.1:9090/api/v1/query?query=ALERTS{alertname="DatabaseDown",alertstate="firing"}'
INVALID = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid"


def name_database_hosts(*hosts: str) -> None:
    """What an operator writes into the inventory: the database hosts; the first one here is in the group
    database_primary."""
    os.environ["GRADUAL_DATABASE"] = ",".join(hosts)


def make_pair(story: Story) -> None:
    """db2 becomes the standby of db1, the application knows both, and db2 may fetch artifacts."""
    fleet.fleet("up", "--hosts", "db2")
    name_database_hosts("db1", "db2")
    assert story.play("playbooks/provision.yml", "--limit", "!balancer") == 0
    until(lambda: fleet.query(BEHIND) == ["0"], "db2 streams and has everything")
    for host in fleet.HOSTS:
        fleet.execute(host, "systemctl", "restart", "storefront")
    prepare.wait_until_right("1.0.0")


@contextlib.contextmanager
def old_transaction() -> Iterator[None]:
    """Somebody's transaction that has looked at the database and does not end: CREATE INDEX CONCURRENTLY waits for it,
    and nobody else does."""
    command = fleet.podman(
        "exec",
        "--interactive",
        fleet.container("db1"),
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-XAtq",
        "-d",
        fleet.APPLICATION,
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'begun';\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begun\n"
        try:
            yield
        finally:
            process.kill()


def with_old_receipt(receipt: dict[str, object]) -> str:
    """What the migration module says on the new primary to the receipt of before, asked for the one migration that is
    still to come."""
    staged = fleet.execute("db2", "sh", "-c", "ls -d /opt/storefront/releases/2.0.0-*").strip()
    arguments = {
        "directory": staged,
        "phase": "contract",
        "state": "applied",
        "receipt": receipt,
        "environment_file": "/etc/gradual/storefront/database.environment",
    }
    done = subprocess.run(
        [
            fleet.binaries() / "ansible",
            "db2",
            "--inventory",
            "inventories/sandbox",
            "-m",
            "gradual.rollout.migration",
            "-a",
            json.dumps(arguments),
        ],
        cwd=fleet.HOME,
        env=fleet.clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def take_over() -> None:
    """What an operator does once the standby is promoted: names it as the primary, and provisions, so that nobody waits
    for the dead host any more."""
    name_database_hosts("db2")
    prepare.wait_until_right("1.0.0")
    assert story.play("playbooks/provision.yml", "--limit", "database,monitoring") == 0
    until(
        lambda: json.loads(fleet.execute("mon1", "curl", "-sg", ALERTS))["data"]["result"] == [],
        "the alert of the dead host has ended",
    )


name_database_hosts("db1")
with Story("database") as story:
    make_pair(story)
    story.begin_load()
    with old_transaction():
        play = story.launch("deploy.yml", *RELEASE)
        until(lambda: fleet.query(PROGRESS) or play.over, "the second migration waits for the old transaction")
        story.end_load()
        until(lambda: fleet.query(BEHIND) == ["0"], "db2 has everything")
        story.note(
            "standby",
            {
                "revision": fleet.revision("db2"),
                "invalid": fleet.query(INVALID, "db2"),
                "columns": fleet.query(
                    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'express'",
                    "db2",
                ),
            },
        )
        fleet.fleet("kill", "db1")  # it does not come back in this story: two primaries would be worse than none
    with story.measured("promoted_seconds"):
        fleet.query("SELECT pg_promote()", "db2")
    story.finish(play)
    with story.measured("taken_over_seconds"):
        take_over()
    story.note("left", {"revision": fleet.revision(), "invalid": fleet.query(INVALID)})
    receipt = story.events.last("backup.proven")["data"]["receipt"]
    with Users(story.directory / "afterwards"):
        story.play("deploy.yml", *RELEASE)
    story.note("refusal", with_old_receipt(receipt))
    story.play("playbooks/restore.yml", "-e", "restore_new_name=storefront_restored")
