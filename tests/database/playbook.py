"""A playbook on this host that calls the modules for a shop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .server import RUN_AS, Shop

ROOT = Path(__file__).parents[2]


def play(shop: Shop, folder: Path, text: str, *words: str, **variables: str) -> tuple[dict[str, Any], str]:
    """Run the playbook with these words of the command line; what it wrote as JSON to `{{ result }}`, and what Ansible
    printed."""
    (folder / "play.yml").write_text(text)
    extra = {
        "socket": str(shop.server.folder),
        "shop_port": shop.server.port,
        "user": RUN_AS,
        "shop_database": shop.name,
        "backups": shop.backups,
        "result": str(folder / "result.json"),
        "ansible_python_interpreter": sys.executable,
        **variables,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*command, "-e", json.dumps(extra), *words, str(folder / "play.yml")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads((folder / "result.json").read_text()), done.stdout + done.stderr
