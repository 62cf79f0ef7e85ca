# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the process of ansible-playbook does before it forks a worker for each task and host: load the plugins of nearly
every task once, and show each line as it comes."""

from __future__ import annotations

import io
import sys

from ansible.plugins.loader import action_loader, become_loader, connection_loader, filter_loader, shell_loader


def load_once() -> None:
    """Import in this process what each worker would otherwise import again.

    A worker is a fork and ends with its task on its host. Whatever it imports is lost with it, and one filter of this
    collection imports them all (`make bench-preload`).
    """
    action_loader.get("normal", class_only=True)
    action_loader.get("gradual.rollout.reach", class_only=True)
    connection_loader.get("ssh", class_only=True)
    become_loader.get("sudo", class_only=True)
    shell_loader.get("sh", class_only=True)
    filter_loader.get("gradual.rollout.failure")


def show_lines_at_once() -> None:
    """Write each line of the output at once, also into a pipe or a file (a CI job, `| tee`).

    ansible-core leaves it to the buffer, which is emptied when the next worker is forked. A watch shows its looks
    within one task, so all of them would come at its end.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
