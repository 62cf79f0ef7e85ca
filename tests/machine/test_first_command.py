"""The README's first commands where nothing was ever installed: a missing step of the installation is found here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import machine as machines
from tests.machine.machine import HOME, USER, Machine
from tests.support.waiting import until

LOG = HOME / ".sandbox" / "machine.log"
# What the project runs on this machine, and the README does not ask for.
BROUGHT = ("podman", "runc", "ip", "iptables", "debootstrap", "ssh", "ssh-keygen")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("")
    with machines.machine() as made:
        yield made


def test_a_user_with_sudo_brings_a_provisioned_fleet_up(machine: Machine) -> None:
    assert [program for program in (*BROUGHT, "curl", "sysctl") if machine.has(program)] == [], (
        "a new machine has none of them"
    )
    machine.receive(f"/home/{USER}/gradual", USER)
    said = machine.run("cd gradual && make fleet", user=USER, log=LOG)
    assert said.stdout.splitlines()[-1].endswith("fleet demo is ready")
    assert [program for program in BROUGHT if not machine.has(program)] == []
    status = machine.run("cd gradual && sandbox/fleet status", user=USER, log=LOG).stdout.splitlines()
    assert [line.split()[-1] for line in status] == ["running"] * 6
    ask = "import urllib.request as u; print(u.urlopen('http://10.89.21.30:9090/-/ready', timeout=20).read().decode())"
    until(
        lambda: "Ready" in machine.run(f'python3 -c "{ask}"', user=USER, log=LOG, check=False).stdout,
        "Prometheus has read its data after the hosts were booted",
    )
    kept = machine.run(r"cd gradual && find . ! -user deployer -printf '%u %p\n' | head", user=USER, log=LOG).stdout
    assert kept == "", "the user cannot remove what belongs to another one"


def test_root_needs_no_sudo(machine: Machine) -> None:
    machine.run("mv /usr/bin/sudo /usr/bin/sudo.away", log=LOG)
    machine.receive("/srv/gradual", "root")
    assert not Path(machine.root, "usr/bin/socat").exists()
    said = machine.run(
        "cd /srv/gradual && sandbox/packages socat && sandbox/fleet up --bare --fleet test --hosts app1"
        " && sandbox/fleet status --fleet test",
        log=LOG,
    ).stdout
    assert "app1  10.89.22.11   running" in said
    assert Path(machine.root, "usr/bin/socat").exists()
    machine.run("cd /srv/gradual && sandbox/fleet down --fleet test", log=LOG)
