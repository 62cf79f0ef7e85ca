"""kill.yml and allow_flag.yml with real modules; the hosts are this machine, each with a flag file of its own that an
application evaluates. The fleet's story of it is tests/fleet/test_kill.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import Wanted, definition, render
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked, read

from tests.roles.local import HOME, play
from tests.roles.metrics import MetricsServer

HOSTS = ("app1", "app2", "app3")
GROUPS = {
    "application": HOSTS,
    "database": ("db1",),
    "database_primary": ("db1",),
    "balancer": ("lb1",),
    "monitoring": ("mon1",),
    "ledger": ("mon1",),
}
MANIFEST = {
    "application": "shop",
    "version": "2.0.0",
    "artifact": {"sha256": "2" * 64},
    "features": [{"flag": "search"}],
}
# Nothing listens there, so a connection is refused at once.
LOST = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}


class Fleet:
    """Three hosts on which half of the users have `search` for ten minutes, then a quarter; all have `cart`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stubborn = folder, ""
        self.expiry = int(time.time()) + 600
        stage = Wanted("search", certified=25, baking=50, expiry=self.expiry)
        document = {"flags": {"search": definition(stage, 1), "cart": definition(Wanted("cart", 100), 1)}}
        for host in HOSTS:
            self.file(host).write_text(render(document))
        with locked(str(folder / "ledger")) as ledger:
            opened = lease.opened([], MANIFEST, {"plan": [], "hosts": {}}, lease.Request("a rollout", time.time()))
            ledger.append(opened.rollout, opened.events)
        self.server = MetricsServer(self.metrics)
        variables = {
            "application": "shop",
            "rollout_flags_file": f"{folder}/{{{{ inventory_hostname }}}}.json",
            "rollout_application_url": f"{self.server.url}/{{{{ inventory_hostname }}}}",
            "rollout_ledger_path": str(folder / "ledger"),
            "kill_verify_seconds": 20,
        }
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "all.json").write_text(json.dumps(variables))

    def metrics(self, path: str) -> Iterator[str]:
        """Those of two processes of a host, which live on every machine."""
        host = path.split("/")[1]
        yield "http_requests_total 1"
        for name, flag in json.loads(self.file(host).read_text())["flags"].items():
            revision = 1 if host == self.stubborn else flag["metadata"]["revision"]
            for pid in (os.getppid(), os.getpid()):
                yield f'feature_flag_revision{{flag="{name}",pid="{pid}"}} {revision}'
                yield f'feature_flag_share{{flag="{name}",pid="{pid}"}} {0.5 if "targeting" in flag else 0}'

    def file(self, host: str) -> Path:
        return self.folder / f"{host}.json"

    def lose(self, host: str) -> None:
        (self.folder / "host_vars").mkdir(exist_ok=True)
        (self.folder / "host_vars" / f"{host}.json").write_text(json.dumps(LOST))

    def find(self, host: str) -> None:
        (self.folder / "host_vars" / f"{host}.json").unlink()

    def files(self) -> dict[str, str]:
        return {host: self.file(host).read_text() for host in HOSTS}

    def flag(self, host: str, flag: str = "search") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file(host).read_text())["flags"][flag]
        return found

    def off(self) -> list[str]:
        """The hosts that show search to nobody."""
        return [host for host in HOSTS if "targeting" not in self.flag(host)]

    def words(self) -> list[tuple[str, dict[str, Any]]]:
        lines = read(str(self.folder / "ledger")).lines
        return [(line["event"], line["data"]) for line in lines if line["event"].startswith("flag.")]

    def run(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = play(self.folder, [{"import_playbook": str(HOME / "playbooks" / playbook)}], *arguments, groups=GROUPS)
        done.stdout = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stdout
        assert "[WARNING]" not in done.stdout
        return done

    def kill(self, *arguments: str, flag: str = "search") -> subprocess.CompletedProcess[str]:
        return self.run("kill.yml", "-e", f"flag={flag}", "-e", json.dumps({"reason": "wrong prices"}), *arguments)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.server.stop()


def test_check_mode_then_for_real_then_again_and_back(fleet: Fleet) -> None:
    before = fleet.files()
    checked = fleet.kill("--check", "--diff")
    assert checked.returncode == 0, checked.stdout
    assert (fleet.files(), fleet.words()) == (before, [])
    assert checked.stdout.count("search would be turned off") == 3
    assert '+ "killed_reason": "wrong prices"' in checked.stdout

    done = fleet.kill()
    assert done.returncode == 0, done.stdout
    assert fleet.off() == list(HOSTS)
    assert all(fleet.flag(host, "cart")["targeting"] for host in HOSTS), "the other flag stays as it is"
    assert done.stdout.count("search is off in 2 processes, after ") == 3, done.stdout
    ((event, data),) = fleet.words()
    assert (event, data["flag"], data["reason"], data["hosts"]) == ("flag.killed", "search", "wrong prices", [*HOSTS])
    assert data["showed"].startswith("50 % of users until ")
    assert data["showed"].endswith("Z, then 25 % of users")

    killed = fleet.files()
    again = fleet.kill("-e", "reason=another")
    assert again.returncode == 0, again.stdout
    assert "changed=1" not in again.stdout
    assert (fleet.files(), len(fleet.words())) == (killed, 1)

    allowed = fleet.run("allow_flag.yml", "-e", "flag=search")
    assert allowed.returncode == 0, allowed.stdout
    assert fleet.off() == list(HOSTS), "it stays off"
    assert not any(key.startswith("killed") for host in HOSTS for key in fleet.flag(host)["metadata"])
    assert [event for event, _data in fleet.words()] == ["flag.killed", "flag.allowed"]
    last = fleet.files()
    assert "changed=1" not in fleet.run("allow_flag.yml", "-e", "flag=search").stdout
    assert (fleet.files(), len(fleet.words())) == (last, 2)


def test_without_a_host_and_the_ledger_the_others_are_off_and_both_are_made_good_later(fleet: Fleet) -> None:
    fleet.lose("app2")
    fleet.lose("mon1")
    done = fleet.kill()
    assert done.returncode == 2, done.stdout
    assert fleet.off() == ["app1", "app3"]
    assert "app2: Host app2 was lost." in done.stdout
    assert "Meanwhile app2 shows search as it was written last: 50 % of users until " in done.stdout
    assert "That end comes by itself" in done.stdout
    assert "Not recorded in the ledger: Host mon1 was lost" in done.stdout
    assert fleet.words() == []
    since = min(fleet.flag(host)["metadata"]["killed_at"] for host in ("app1", "app3"))
    fleet.find("app2")
    fleet.find("mon1")
    again = fleet.kill()
    assert again.returncode == 0, again.stdout
    assert fleet.off() == list(HOSTS)
    assert [(data["at"], data["lost"]) for _event, data in fleet.words()] == [(since, [])]


def test_without_the_ledger_alone_it_is_done(fleet: Fleet) -> None:
    fleet.lose("mon1")
    done = fleet.kill()
    assert done.returncode == 0, done.stdout
    assert fleet.off() == list(HOSTS)
    assert "Not recorded in the ledger: Host mon1 was lost" in done.stdout


def test_a_process_that_does_not_evaluate_it_is_an_error(fleet: Fleet) -> None:
    fleet.stubborn = "app3"
    done = fleet.kill("-e", "kill_verify_seconds=2")
    assert done.returncode == 2, done.stdout
    assert fleet.off() == list(HOSTS)
    assert "app3: written, but NOT VERIFIED" in done.stdout
    said = r"app3: the flag file is written, but after 2 s process \d+ evaluates revision 1 of search"
    assert re.search(said, done.stdout), done.stdout
    assert "app3" in fleet.words()[0][1]["unverified"]


def test_a_flag_that_no_host_has_is_an_error(fleet: Fleet) -> None:
    before = fleet.files()
    done = fleet.kill(flag="serach")
    assert done.returncode == 2, done.stdout
    assert "No flag serach is in the flag file of app1, app2, app3, so nothing was changed there" in done.stdout, (
        done.stdout
    )
    assert "got flag=serach, expected one of: cart, search" in done.stdout
    assert (fleet.files(), fleet.words()) == (before, [])
