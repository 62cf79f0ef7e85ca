"""The sandbox's tables: every host in its place, and what stands in the way said in one line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]


def fleet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sandbox/fleet", *arguments], cwd=HOME, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "network"), [("demo", "10.89.21"), ("test", "10.89.22"), ("dev1", "10.89.31")])
def test_the_inventory_has_every_host_at_the_address_of_its_fleet(name: str, network: str) -> None:
    inventory = json.loads(subprocess.run(["inventories/sandbox/hosts", "--list"], cwd=HOME, env=os.environ | {"GRADUAL_FLEET": name},
                                          capture_output=True, check=True).stdout)
    grouped = {host for group in ("application", "database", "balancer", "monitoring") for host in inventory[group]["hosts"]}
    assert grouped == set(inventory["_meta"]["hostvars"]) == {"lb1", "app1", "app2", "app3", "db1", "mon1"}
    assert (inventory["ledger"]["hosts"], inventory["database_primary"]["hosts"]) == (["mon1"], ["db1"])
    for host, facts in inventory["_meta"]["hostvars"].items():
        assert facts["ansible_host"].startswith(f"{network}.")
        assert facts["ansible_host"] in fleet("addresses", host).stdout.split()


def test_a_spare_database_host_is_there_only_when_it_is_named() -> None:
    pair = json.loads(fleet("inventory", "--fleet", "test", GRADUAL_DATABASE="db2,db1").stdout)
    assert pair["database"]["hosts"] == ["db2", "db1"]
    assert pair["database_primary"]["hosts"] == ["db2"], "the one that is named first is the primary"
    assert pair["_meta"]["hostvars"]["db2"] == {"ansible_host": "10.89.22.21"}
    assert "db2" not in fleet("inventory", "--fleet", "test").stdout
    refused = fleet("inventory", GRADUAL_DATABASE="db1,app1")
    assert refused.returncode == 1
    assert "'app1' is no database host of the sandbox: write db1, or db1,db2" in refused.stderr


def test_an_unknown_fleet_is_named_with_the_known_ones() -> None:
    refused = fleet("status", "--fleet", "production")
    assert refused.returncode == 2
    assert "production" in refused.stderr
    assert "demo" in refused.stderr


def test_without_podman_and_apt_the_missing_packages_are_named_in_one_line(tmp_path: Path) -> None:
    for program in ("python3", "env", "ip"):
        (tmp_path / program).symlink_to(Path("/usr/bin") / program)
    script = (HOME / "sandbox/fleet").read_text().replace(":/usr/sbin:/sbin", "").replace("/usr/lib/podman/netavark", "/nowhere/netavark")
    (tmp_path / "fleet").write_text(script)
    refused = subprocess.run(["/usr/bin/python3", tmp_path / "fleet", "up"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    if os.geteuid() == 0:
        assert refused.stderr.splitlines() == [
            "fleet: missing here: podman runc netavark iptables openssh-client debootstrap (Debian's package names); install them and run this again"
        ]
    else:
        assert refused.stderr.splitlines() == ["fleet: containers that boot systemd need root: run as root, or install sudo"]


def test_vault_password_is_never_an_error(tmp_path: Path) -> None:
    script = HOME / "inventories/vault-password"
    chosen = tmp_path / "password"
    chosen.write_text("chosen\n")
    for environment, wanted in (({"GRADUAL_VAULT_PASSWORD_FILE": str(chosen)}, "chosen\n"),
                                ({"GRADUAL_VAULT_PASSWORD_FILE": str(tmp_path / "missing")}, "no-vault-password-here\n")):
        said = subprocess.run([script], env=os.environ | environment, capture_output=True, text=True, check=True)
        assert said.stdout == wanted
