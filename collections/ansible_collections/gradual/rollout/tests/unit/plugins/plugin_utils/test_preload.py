# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the parent process has loaded when the first worker is forked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[7]
PROGRAM = f"""
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([{str(COLLECTIONS)!r}])
from ansible_collections.gradual.rollout.plugins.plugin_utils import preload
if sys.argv[1] == "loaded":
    preload.load_once()
print(json.dumps(sorted(name for name in sys.modules if ".plugins." in name)))
"""
NEEDED = {
    "ansible_collections.gradual.rollout.plugins.action.reach",
    "ansible_collections.gradual.rollout.plugins.filter.failure",
    "ansible_collections.gradual.rollout.plugins.filter.plan_text",
    "ansible_collections.gradual.rollout.plugins.filter.ways_back",
    "ansible.plugins.connection.ssh",
    "ansible.plugins.become.sudo",
}


@pytest.mark.parametrize(("state", "expected"), [("loaded", NEEDED), ("untouched", set())])
def test_workers_find_the_plugins_loaded(state: str, expected: set[str]) -> None:
    """Without preloading none of them is there, so each worker would import them."""
    said = subprocess.run([sys.executable, "-c", PROGRAM, state], check=True, capture_output=True, text=True).stdout

    assert NEEDED & set(json.loads(said)) == expected
