"""The sandbox's tables: every host in its place, and what stands in the way said in one line."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]


def fleet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sandbox/fleet", *arguments],
        cwd=HOME,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("name", "network"), [("demo", "10.89.21"), ("test", "10.89.22"), ("dev1", "10.89.31")])
def test_the_inventory_has_every_host_at_the_address_of_its_fleet(name: str, network: str) -> None:
    inventory = json.loads(
        subprocess.run(
            ["inventories/sandbox/hosts", "--list"],
            cwd=HOME,
            env=os.environ | {"GRADUAL_FLEET": name},
            capture_output=True,
            check=True,
        ).stdout
    )
    grouped = {
        host for group in ("application", "database", "balancer", "monitoring") for host in inventory[group]["hosts"]
    }
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
    assert "'app1' is no database host of the sandbox: write some of db1,db2" in refused.stderr


def test_an_inventory_without_a_database_says_so_by_empty_groups() -> None:
    told = json.loads(fleet("inventory", "--fleet", "test", GRADUAL_DATABASE="none").stdout)
    assert told["database"] == told["database_primary"] == {"hosts": []}
    assert "db1" not in told["_meta"]["hostvars"]


def test_an_unknown_fleet_is_named_with_the_known_ones() -> None:
    refused = fleet("status", "--fleet", "production")
    assert refused.returncode == 2
    assert "production" in refused.stderr
    assert "demo" in refused.stderr


Machine = Callable[..., subprocess.CompletedProcess[str]]
NOBODY = 65534


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder that anybody may read, for the programs of a machine."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def machine(programs: Path) -> Machine:
    """Run sandbox/fleet on a machine that has python3, env, sh and what lies in `programs`, and nothing else; user: who
    runs it."""

    def call(*arguments: str, user: int | None = None, netavark: bool = False) -> subprocess.CompletedProcess[str]:
        folder = programs
        for program in ("python3", "env", "sh"):
            (folder / program).symlink_to(f"/usr/bin/{program}")
        text = (HOME / "sandbox/fleet").read_text().replace(":/usr/sbin:/sbin", "")
        text = text.replace("/usr/lib/podman/netavark", "/bin/sh" if netavark else "/nowhere/netavark")
        shutil.copytree(HOME / "sandbox/image", folder / "sandbox/image")
        (folder / "sandbox/fleet").write_text(text)
        return subprocess.run(
            ["/usr/bin/python3", folder / "sandbox/fleet", *arguments],
            env={"PATH": str(folder)},
            user=user,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


# Every verb that works on containers, with what it needs to be called.
REMOVING = [("down",), ("remove-images",)]
WORKING = [
    ("up",),
    ("image",),
    ("status",),
    ("save",),
    ("restore",),
    *((verb, "app1") for verb in ("pause", "unpause", "stop", "kill", "start", "disconnect", "connect")),
]
TELLING = [("inventory",), ("addresses", "app1")]


def test_every_verb_is_in_the_tables() -> None:
    listed = re.findall(r"^    ([a-z-]+)(?: {2,}|$)", fleet("--help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(verb[0] for verb in [*REMOVING, *WORKING, *TELLING])


@pytest.mark.parametrize("verb", WORKING, ids=lambda verb: verb[0])
def test_without_podman_a_verb_that_cannot_do_its_work_fails_with_one_line(
    machine: Machine, verb: tuple[str, ...]
) -> None:
    refused = machine(*verb)
    assert refused.returncode == 1, refused.stdout
    (line,) = refused.stderr.splitlines()
    if os.geteuid() != 0:
        wanted = "fleet: containers that boot systemd need root: run as root, or install sudo"
    elif verb[0] in ("up", "image"):
        wanted = (
            "fleet: missing here: podman runc netavark iptables iproute2 openssh-client debootstrap (Debian's package"
            " names); install them and run this again"
        )
    else:
        wanted = "fleet: podman is not installed, so there is no fleet: `sandbox/fleet up` installs it and makes one"
    assert line == wanted


@pytest.mark.parametrize("verb", [*WORKING, *REMOVING], ids=lambda verb: verb[0])
def test_without_root_and_sudo_every_verb_fails_with_one_line(machine: Machine, verb: tuple[str, ...]) -> None:
    refused = machine(*verb, user=NOBODY if os.geteuid() == 0 else None)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "fleet: containers that boot systemd need root: run as root, or install sudo"
    ]


@pytest.mark.parametrize("verb", [*WORKING, *REMOVING], ids=lambda verb: verb[0])
def test_where_sudo_refuses_every_verb_fails_with_its_reason(
    machine: Machine, programs: Path, verb: tuple[str, ...]
) -> None:
    (programs / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    (programs / "sudo").chmod(0o755)
    refused = machine(*verb, user=NOBODY if os.geteuid() == 0 else None)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        (
            "fleet: containers that boot systemd need root, and sudo refuses it (sudo: a password is required): run as"
            " root, or as a user who may use sudo"
        )
    ]


@pytest.mark.parametrize("verb", REMOVING, ids=lambda verb: verb[0])
def test_without_podman_there_is_nothing_to_remove(machine: Machine, verb: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("without root, and without sudo, the rights are asked for first")
    done = machine(*verb)
    assert (done.returncode, done.stderr) == (0, "fleet: podman is not installed, so there is nothing to remove\n")


@pytest.mark.parametrize("verb", TELLING, ids=lambda verb: verb[0])
def test_a_verb_that_only_tells_needs_no_podman(machine: Machine, verb: tuple[str, ...]) -> None:
    assert machine(*verb).returncode == 0


# A podman that cannot say anything, as when its storage is locked or broken.
BROKEN = """#!/bin/sh
echo 'Error: storage is broken' >&2
exit 125
"""


@pytest.mark.parametrize("verb", [*WORKING, *REMOVING], ids=lambda verb: verb[0])
def test_what_podman_cannot_say_is_no_answer(machine: Machine, programs: Path, verb: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("podman is called by root")
    for program, text in {
        "podman": BROKEN,
        **dict.fromkeys(("runc", "iptables", "ip", "ssh-keygen", "debootstrap"), "#!/bin/sh\n"),
    }.items():
        (programs / program).write_text(text)
        (programs / program).chmod(0o755)
    refused = machine(*verb, netavark=True)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "storage is broken" in line


# A podman that knows no container, no network and no image.
EMPTY = """#!/bin/sh
case "$1 $2" in "ps --all") echo "[]";; "container exists" | "network exists" | "image exists") exit 1;; esac
"""


@pytest.mark.parametrize(
    "verb", [verb for verb in WORKING if verb[0] not in ("up", "image", "status")], ids=lambda verb: verb[0]
)
def test_without_its_fleet_a_verb_fails_and_says_how_to_make_one(
    machine: Machine, programs: Path, verb: tuple[str, ...]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("podman is called by root")
    (programs / "podman").write_text(EMPTY)
    (programs / "podman").chmod(0o755)
    refused = machine(*verb)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "sandbox/fleet " in line, "it says what to type"
    assert "demo" in line, "it names the fleet"


def test_a_host_that_does_not_exist_is_named() -> None:
    if os.geteuid() != 0:
        pytest.skip("podman is called by root")
    refused = fleet("up", "--hosts", "app1,app99", "--fleet", "dev6")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "fleet: --hosts names 'app99', which is no host of the sandbox: write some of "
        + ",".join(["lb1", "app1", "app2", "app3", "db1", "mon1", "db2", *(f"app{number}" for number in range(4, 11))])
    ]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("12", {"app1": "12", "db1": "12", "db2": "12"}),
        ("13", {"app1": "13", "db1": "13", "db2": "13"}),
        ("12,app2=13", {"app1": "12", "app2": "13", "db1": "12"}),
        ("13,db1=12,db2=12", {"app1": "13", "db1": "12", "db2": "12"}),
        ("half", {"app1": "12", "app2": "13", "lb1": "13", "db1": "12", "mon1": "12"}),
    ],
)
def test_each_host_has_the_debian_that_was_chosen(choice: str, wanted: dict[str, str]) -> None:
    script = runpy.run_path(str(HOME / "sandbox/fleet"), run_name="fleet")
    chosen = script["debian_of"](choice)
    assert chosen.keys() == script["EVERY"].keys()
    assert {host: chosen[host] for host in wanted} == wanted
    names = {script["image_name"]("host", debian) for debian in chosen.values()}
    assert len(names) == len(set(chosen.values())), "each release has an image of its own"


@pytest.mark.parametrize("choice", ["14", "12,13", "12,app99=13", "app1=13", "12,app1=trixie"])
def test_a_debian_that_is_not_known_is_named_with_what_to_write(choice: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("podman is called by root")
    refused = fleet("up", "--fleet", "dev6", GRADUAL_DEBIAN=choice)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        (
            f"fleet: --debian (or $GRADUAL_DEBIAN) is {choice!r}: write 12 or 13 for every host, with HOST=RELEASE for"
            " some after it, or half, which is 12,lb1=13,app2=13,app3=13"
        )
    ]


def test_an_option_that_ready_does_not_know_is_refused_before_anything_is_made() -> None:
    refused = subprocess.run([HOME / "sandbox/ready", "--help"], cwd=HOME, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        2,
        "",
        "ready: got '--help', expected --fresh, --warm or nothing\n",
    )
