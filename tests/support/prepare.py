"""Brings the fleet to where a story begins, whatever the story before it left.

Two beginnings: "1.0.0" runs on every host, freshly deployed; "2.0.0" has been rolled out to all users on top of that.
The first is deployed once and kept (sandbox/fleet save), so that every later story starts from it within seconds.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import fleet
from .manifests import FIRST, GOOD
from .users import Users

Deploy = Callable[[list[str]], None]


SLOT = "1.0.0"


def there() -> bool:
    """Whether all hosts of the fleet are running, with artifacts to deploy."""
    return {line.split()[-1] for line in fleet.fleet("status").splitlines()} == {"running"} and bool(
        fleet.execute("mon1", "sh", "-c", "ls /srv/gradual/artifacts/*.tar.gz 2>/dev/null || true")
    )


def up() -> None:
    """See to it that the fleet is there and provisioned; nothing is done when it is."""
    if not there():
        made = subprocess.run(
            ["make", "fleet", f"GRADUAL_FLEET={fleet.NAME}"],
            cwd=fleet.HOME,
            env=fleet.clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, (
            f"make fleet GRADUAL_FLEET={fleet.NAME} failed: {(made.stdout + made.stderr)[-2000:]}"
        )


def without_release() -> None:
    """Bring the fleet back to where no release has ever run on it, as it was provisioned."""
    made = subprocess.run(
        [fleet.HOME / "sandbox" / "ready", "--warm"],
        cwd=fleet.HOME,
        env=fleet.clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, f"sandbox/ready --warm failed: {(made.stdout + made.stderr)[-2000:]}"
    wait_for_monitoring()


def untouched() -> bool:
    """Whether no release has ever run on the fleet: it has just been provisioned, and what was kept before is of
    another one."""
    return there() and all(fleet.look(host)["current"] is None for host in fleet.HOSTS)


def restored() -> bool:
    """Bring the state "1.0.0" back; False when it was never kept."""
    try:
        fleet.fleet("restore", SLOT)
    except fleet.Missing:
        return False
    # The artifacts that the manifests mean are those of this tree, not those of the day when the state was kept.
    subprocess.run(
        fleet.podman("cp", f"{fleet.HOME}/.sandbox/artifacts/.", f"{fleet.container('mon1')}:/srv/gradual/artifacts/"),
        check=True,
    )
    return True


def finished() -> bool:
    """Whether 2.0.0 has been rolled out to all users and nothing came after it."""
    try:
        ends = [line["data"]["outcome"] for line in fleet.events(fleet.ledger()) if line["event"] == "rollout.finished"]
        return there() and ends[-1:] == ["completed"] and not wrong("2.0.0")
    except fleet.Missing:
        return False


def to(begins: str, deploy: Deploy, directory: Path) -> None:
    """Bring the fleet there; `deploy` runs deploy.yml with the arguments it is given, and insists on its success."""
    if begins == "2.0.0" and finished():
        return
    if untouched() or not restored():
        if not untouched():
            without_release()
        wait_for_monitoring()
        deploy(FIRST)
        fleet.fleet("save", SLOT)
    wait_until_right("1.0.0")
    if begins == "2.0.0":
        with Users(directory):  # without users the gate knows nothing, and holds
            deploy(GOOD)
        wait_until_right("2.0.0")


def wait_until_right(begins: str, timeout: float = 60) -> None:
    """Return once the fleet is there and watched by Prometheus; hosts that have just booted take a few seconds."""
    wait_for_monitoring()
    until = time.monotonic() + timeout
    while found := wrong(begins):
        assert time.monotonic() < until, f"the fleet is not where the story begins: {found}"
        time.sleep(0.5)


def wait_for_monitoring(timeout: float = 60) -> None:
    """Return once Prometheus answers and has scraped the balancer."""
    until = time.monotonic() + timeout
    while True:
        said = fleet.execute(
            "mon1", "curl", "-s", "http://127.0.0.1:9090/api/v1/query?query=up%7Bjob%3D%22haproxy%22%7D", check=False
        )
        try:
            if any(series["value"][1] == "1" for series in json.loads(said)["data"]["result"]):
                return
        except (ValueError, KeyError):
            pass
        assert time.monotonic() < until, f"Prometheus sees no balancer: {said[:300]}"
        time.sleep(0.5)


def wrong(begins: str) -> list[str]:
    """What is not as a story wants it at its beginning."""
    try:
        running = {host: fleet.running(host) for host in fleet.HOSTS}
        states = fleet.balancer()
    except fleet.Missing as missing:
        return [str(missing)]
    found = [f"{host} runs {release}, wanted is {begins}" for host, release in running.items() if release != begins]
    return found + [f"the balancer says {host} is {state}" for host, state in states.items() if state != "UP"]
