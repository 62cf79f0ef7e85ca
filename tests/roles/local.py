"""Run a playbook on this machine, with the project's own configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]


def play(
    folder: Path,
    plays: list[dict[str, Any]],
    *arguments: str,
    groups: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ("monitoring", "ledger"),
    hosts: tuple[str, ...] = ("here",),
) -> subprocess.CompletedProcess[str]:
    """ansible-playbook of these plays in a folder of the test's; the hosts are this machine, members of all the groups,
    or of those that name them."""
    inventory, playbook = folder / "hosts.json", folder / "playbook.json"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    password = folder / "vault-password"
    password.write_text("of the test\n")
    members = groups if isinstance(groups, Mapping) else dict.fromkeys(groups, hosts)
    inventory.write_text(json.dumps({group: {"hosts": dict.fromkeys(of, here)} for group, of in members.items()}))
    playbook.write_text(json.dumps(plays))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_CONFIG": str(HOME / "ansible.cfg"),
        "GRADUAL_RUN_LOG_DIRECTORY": str(folder / "logs"),
        "ANSIBLE_NOCOLOR": "1",
        "GRADUAL_VAULT_PASSWORD_FILE": str(password),
    }
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook, *arguments],
        cwd=HOME,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
