"""An application without any database, on a fleet that has none: the files that new_application.yml writes, with the
service of examples/converter in them. It is released, ramped to all users, and a bad release of it comes back."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.load.converter import requests
from tests.load.generator import Load, Settings
from tests.load.record import Record
from tests.support import fleet, prepare
from tests.support.manifests import LOUD

EXAMPLE = fleet.HOME / "examples/converter"
LEDGER = "/var/lib/gradual/converter"
# The stories share two cores; an alert of the story before is none of this one's.
QUICK = json.dumps({"preflight_accepted_alerts": LOUD, "ramp_users": 1000})


class Converter:
    """The application's folder, and what is done with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventories = ["-i", "inventories/sandbox", "-i", f"{folder}/sandbox"]

    def command(self, *argv: str | Path, status: int = 0) -> str:
        """What a command says, which must end with this exit status."""
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=fleet.HOME,
            env={**fleet.clean_environment(), "GRADUAL_DATABASE": "none", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said[-4000:]
        # `name` is what people write; Ansible warns because it is a keyword of plays too.
        assert said.count("[WARNING]") == said.count("reserved name 'name'"), said
        return said

    def playbook(self, name: str, *arguments: str, status: int = 0) -> str:
        return self.command("ansible-playbook", *self.inventories, name, *arguments, status=status)

    def deploy(self, version: str, *arguments: str, status: int = 0) -> str:
        manifest = f"@{self.folder}/releases/{version}.yml"
        return self.playbook("deploy.yml", "-e", manifest, "-e", QUICK, *arguments, status=status)

    def build(self, version: str) -> None:
        """Lay the service of this version over the folder, pack and publish it."""
        shutil.copytree(EXAMPLE / version, self.folder / "app", dirs_exist_ok=True)
        self.command(self.folder / "build", version)
        self.command(self.folder / "publish", version, *self.inventories)

    def report(self) -> dict[str, Any]:
        """The newest report."""
        text = fleet.execute("mon1", "sh", "-c", f"cat $(ls -td {LEDGER}/reports/*/ | head -1)report.json")
        return dict(json.loads(text))


def running() -> set[str]:
    """What the hosts run by their own word."""
    return {json.loads(fleet.execute(host, "curl", "-s", "127.0.0.1:8080/version"))["release"] for host in fleet.HOSTS}


@contextmanager
def users() -> Iterator[Record]:
    """The load, as long as the block lasts; its record is whole after it."""
    load = Load(
        Settings(
            url=f"https://{fleet.FRONT_DOOR}",
            rate=25,
            ca_path=str(fleet.AUTHORITY),
            resolve={fleet.FRONT_DOOR: fleet.addresses()["lb1"]},
        ),
        requests(),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(load.run(),))
    thread.start()
    try:
        yield load.record
    finally:
        loop.call_soon_threadsafe(load.stop)
        thread.join(60)


def claim(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(one) for one in report["claims"] if one["id"] == name)


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    """1.0.0 is released to a fleet whose inventory has no database."""
    prepare.up()
    prepare.without_release()
    folder = tmp_path_factory.mktemp("applications") / "converter"
    made = Converter(folder)
    made.command(
        "ansible-playbook", "playbooks/new_application.yml",
        "-e", f"name=converter database=none folder={folder}",
    )  # fmt: skip
    shutil.copytree(EXAMPLE / "releases", folder / "releases", dirs_exist_ok=True)
    (folder / "app/gunicorn.conf.py").unlink()
    for version in ("1.0.0", "2.0.0", "2.0.1"):
        made.build(version)
    # It is there, and nobody may need it.
    fleet.fleet("stop", "db1")
    try:
        made.playbook("playbooks/provision.yml")
        made.deploy("1.0.0")
        yield made
    finally:
        prepare.without_release()


def test_the_first_release_runs_and_the_report_says_that_no_backup_was_wanted(converter: Converter) -> None:
    assert running() == {"1.0.0"}
    assert "DATABASE_URL" not in fleet.execute("app1", "cat", "/etc/converter/environment")
    report = converter.report()
    assert (report["outcome"], claim(report, "backup")["status"]) == ("completed", "not needed")
    assert claim(report, "backup")["statement"] == "no backup was wanted, because the inventory has no database"
    assert {row["number"]: row["status"] for row in report["criteria"]}[5] == "not needed"


def test_the_plan_says_it_too_and_check_mode_changes_nothing(converter: Converter) -> None:
    before = fleet.execute("mon1", "sha256sum", f"{LEDGER}/ledger.jsonl")
    said = converter.deploy("2.0.0", "--check")
    assert "no backup, because the inventory has no database (backup.method: none)" in said
    assert fleet.execute("mon1", "sha256sum", f"{LEDGER}/ledger.jsonl") == before


def test_a_manifest_that_wants_a_backup_is_refused(converter: Converter) -> None:
    """The control: a database that was forgotten in the inventory is no fleet without a database."""
    said = converter.deploy("2.0.0", "-e", '{"backup": {"method": "dump"}}', status=2)
    assert "backup.method: the inventory has no database" in said
    assert running() == {"1.0.0"}


@pytest.mark.parametrize("playbook", ["contract", "backfill", "restore"])
def test_a_playbook_that_works_on_the_database_says_that_there_is_none(converter: Converter, playbook: str) -> None:
    said = converter.playbook(f"playbooks/{playbook}.yml", status=4)
    assert "this playbook works on the database, and the inventory has none" in said


def test_it_goes_to_all_users_and_no_request_fails(converter: Converter) -> None:
    with users() as seen:
        converter.deploy("2.0.0")
    assert running() == {"2.0.0"}
    assert seen.failed == 0, seen.summary()["failures"][:5]
    assert seen.sent > 1000
    report = converter.report()
    assert [(row["percent"], row["certified"] is not None) for row in report["stages"]] == [
        (25, True),
        (50, True),
        (100, True),
    ]
    assert claim(report, "dashboard")["status"] == "shown", claim(report, "dashboard")["statement"]


def test_the_bad_release_is_stopped_at_25_percent_and_comes_back(converter: Converter) -> None:
    with users() as seen:
        converter.playbook("rollback.yml")
        assert running() == {"1.0.0"}
        assert seen.failed == 0, seen.summary()["failures"][:5]
        converter.deploy("2.0.1", status=2)
    assert running() == {"1.0.0"}
    assert seen.failed > 0, "the defect was not even seen, so stopping it proves nothing"
    report = converter.report()
    assert report["outcome"] == "returned"
    assert max(row["percent"] for row in report["stages"] if row["set"]) == 25
