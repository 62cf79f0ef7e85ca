"""The fleet under test as somebody outside Gradual sees it: containers, front door, balancer, database, ledger file.

Nothing here goes through Ansible or through a module of ours, so that a story is judged by other eyes.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]


def chosen(environment: Mapping[str, str]) -> str:
    """The fleet under test: $GRADUAL_FLEET, or test; of pytest's workers (-n), each has one of $GRADUAL_FLEETS for
    itself."""
    worker = environment.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return environment.get("GRADUAL_FLEET") or "test"
    names, number = environment.get("GRADUAL_FLEETS", "").split(), int(worker.removeprefix("gw"))
    if number >= len(names):
        raise RuntimeError(
            f"GRADUAL_FLEETS names {len(names)} fleets, and worker {number + 1} needs one for itself: "
            'GRADUAL_FLEETS="test test2" pytest -n 2 …'
        )
    return names[number]


NAME = chosen(os.environ)
APPLICATION = "storefront"
HOSTS = ["app1", "app2", "app3"]
FLAGS = ["express-checkout", "recommendations", "search"]
LEDGER = f"/var/lib/gradual/{APPLICATION}"
FRONT_DOOR = "storefront.test"
AUTHORITY = HOME / ".sandbox" / "tls" / "ca.pem"

if NAME == "demo":
    raise RuntimeError("tests break hosts on purpose, and the fleet demo is a person's: set GRADUAL_FLEET=test")


class Missing(Exception):
    """Something of the fleet is not there, or does not answer."""


def fleet(*arguments: str) -> str:
    """Run sandbox/fleet for the fleet under test."""
    verb, *rest = arguments
    done = subprocess.run(
        [HOME / "sandbox" / "fleet", verb, "--fleet", NAME, *rest], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Missing(f"sandbox/fleet {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def addresses() -> dict[str, str]:
    """Host → its address in the fleet under test."""
    return {line.split()[0]: line.split()[1] for line in fleet("status").splitlines()}


def container(host: str) -> str:
    return f"gradual-{NAME}-{host}"


def podman(*arguments: str) -> list[str]:
    """The command line of podman, by sudo where we are not root."""
    rights = [] if os.geteuid() == 0 else ["sudo"]
    return [*rights, "env", f"CONTAINERS_CONF={HOME / 'sandbox' / 'containers.conf'}", "podman", *arguments]


def execute(host: str, *command: str, text: str | None = None, check: bool = True) -> str:
    """What a command prints inside a host's container, as root; `text` is its standard input."""
    done = subprocess.run(
        podman("exec", "--interactive", container(host), *command),
        input=text or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if check and done.returncode:
        raise Missing(f"{host}: `{' '.join(command)[:120]}` failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


# --- an application host ----------------------------------------------------------------------------------------

LOOK = """
import glob, json, os, subprocess, urllib.error, urllib.request
root, flags = "/opt/storefront", "/etc/gradual/storefront/flags.json"
def get(path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:8080" + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, str(error)
def target(name):
    path = os.path.join(root, name)
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None
version, metrics = get("/version"), get("/metrics")[1]
print(json.dumps({
    "version": json.loads(version[1]) if version[0] == 200 else None,
    "ready": get("/readyz")[0],
    "current": target("current"), "previous": target("previous"),
    "releases": sorted(name for name in os.listdir(root + "/releases") if not name.startswith(".")) if os.path.isdir(root + "/releases") else [],
    "half": sorted(name for name in os.listdir(root + "/releases") if name.startswith(".") and name != ".lock") if os.path.isdir(root + "/releases") else [],
    "flags": json.load(open(flags)) if os.path.exists(flags) else None,
    "shares": sorted({line for line in metrics.splitlines() if line.startswith("feature_flag_share{")}),
    "unit": subprocess.run(["systemctl", "is-active", "storefront"], capture_output=True, text=True).stdout.strip(),
}))
"""
SHARE = re.compile(r'feature_flag_share\{.*?flag="(?P<flag>[^"]+)".*\} (?P<share>\S+)')


def look(host: str) -> dict[str, Any]:
    """What runs on an application host: /version, links, releases, flag file, shares as each process evaluates them."""
    seen: dict[str, Any] = json.loads(execute(host, "python3", "-", text=LOOK))
    shares = [SHARE.match(line) for line in seen.pop("shares")]
    seen["shares"] = [(match["flag"], float(match["share"])) for match in shares if match]
    return seen


def running(host: str) -> str | None:
    """Release that runs on the host by its own word, or None."""
    version = look(host)["version"]
    return str(version["release"]) if version else None


# --- the other hosts --------------------------------------------------------------------------------------------


def balancer() -> dict[str, str]:
    """Server of backend application → status as HAProxy gives it (UP, DRAIN, MAINT, DOWN, …)."""
    said = execute("lb1", "socat", "stdio", "/run/haproxy/admin.sock", text="show stat application 4 -1\n")
    rows = csv.DictReader(io.StringIO(said.lstrip("# ")))
    return {row["svname"]: row["status"] for row in rows if row["pxname"] == "application" and row["type"] == "2"}


def primary() -> str:
    """The database host that is written to, as the sandbox's inventory is told (sandbox/fleet, GRADUAL_DATABASE)."""
    return (os.environ.get("GRADUAL_DATABASE") or "db1").split(",")[0]


def query(statement: str, host: str | None = None, database: str = APPLICATION) -> list[str]:
    """Lines that psql prints for a statement in a database (default: the application's), as its superuser; on the
    primary without a host."""
    return execute(
        host or primary(),
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        database,
        text=statement + ";\n",
    ).splitlines()


def revision(host: str | None = None) -> str | None:
    """Revision of the schema; None before the first migration."""
    if query("SELECT to_regclass('public.alembic_version')", host) in ([], [""]):
        return None
    return next(iter(query("SELECT version_num FROM alembic_version", host)), None)


def ledger() -> bytes:
    """The ledger file's bytes; none before the first rollout."""
    return execute("mon1", "sh", "-c", f"cat {LEDGER}/ledger.jsonl 2>/dev/null || true").encode()


def events(content: bytes) -> list[dict[str, Any]]:
    """Whole lines of a ledger as dictionaries."""
    return [json.loads(line) for line in content.splitlines() if line]


def snapshot(hosts: Iterable[str] = HOSTS) -> dict[str, Any]:
    """Everything that a rollout can change, comparable: equal snapshots mean that nothing was changed."""
    content = ledger()
    return {
        "hosts": {host: {key: value for key, value in look(host).items() if key != "shares"} for host in hosts},
        "balancer": balancer(),
        "revision": revision(),
        "backups": execute(primary(), "sh", "-c", "ls -1 /var/backups/gradual/*/ 2>/dev/null || true").split(),
        "ledger": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }


def copy_from(host: str, path: str, target: Path) -> None:
    """Copy a file or directory out of a host."""
    subprocess.run(podman("cp", f"{container(host)}:{path}", str(target)), check=True, capture_output=True)


def binaries(venv: str = ".venv") -> Path:
    return HOME / venv / "bin"


def clean_environment(venv: str = ".venv") -> dict[str, str]:
    """The environment of a person's shell: nothing of Molecule's or pytest's gets into the runs under test."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ANSIBLE_", "MOLECULE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "RUNNER_", "AWX_"))
    }
    path = [
        str(binaries(venv)),
        *(part for part in kept.get("PATH", os.defpath).split(":") if not part.startswith(str(HOME))),
    ]
    return {**kept, "PATH": ":".join(path), "GRADUAL_FLEET": NAME, "ANSIBLE_FORCE_COLOR": "0"}


def has_newer_ansible() -> bool:
    """Whether the second interpreter's environment (ansible-core 2.21) is there."""
    return shutil.which("ansible-runner", path=str(binaries(".venv-3.12"))) is not None
