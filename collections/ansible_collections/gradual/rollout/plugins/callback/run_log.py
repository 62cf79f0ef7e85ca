# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps a plain-text log of every run on the controller."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: run_log
type: notification
short_description: Keep a plain-text log of every run
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Writes a line for each result, with time, host, task and outcome, and the message where there is one.
  - Arguments and other returned values are left out, and so is everything of a task with C(no_log).
  - If the directory cannot be written, as in some execution environments, nothing is logged.
options:
  directory:
    description: Directory of the log files, relative to the directory from which Ansible runs. Each run has one file.
    type: str
    default: .gradual/logs
    env:
      - name: GRADUAL_RUN_LOG_DIRECTORY
    ini:
      - section: callback_run_log
        key: directory
requirements:
  - to be enabled with C(callbacks_enabled = gradual.rollout.run_log)
"""

LONGEST = 2000


def stamp(moment: float) -> str:
    """A time (seconds since 1970) as 2026-11-23T12:00:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def words(message: Any) -> str:
    """A message on one line, without control characters, shortened."""
    if isinstance(message, (list, tuple)):
        message = " | ".join(str(part) for part in message)
    text = " ".join("".join(char if char.isprintable() else " " for char in str(message)).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def line(host: str, outcome: str, task: str, result: dict[str, Any], item: Any = None) -> str:
    """One result as text; of a result that is to be hidden only that it was."""
    head = f"{outcome:<11} {host:<12} {words(task)}"
    if result.get("_ansible_no_log") or "censored" in result:
        return head
    if item is not None:
        head += f" ({words(item)})"
    message = result.get("msg")
    return (
        f"{head}: {words(message)}" if message not in (None, "", "All items completed", "All items skipped") else head
    )


class CallbackModule(CallbackBase):
    """Entry point for Ansible."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "gradual.rollout.run_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stream: Any = None

    def _write(self, text: str) -> None:
        if self._stream is not None:
            try:
                self._stream.write(f"{stamp(time.time())} {text}\n")
                self._stream.flush()
            except OSError as error:
                self._display.vv(f"run_log: {error}")
                self._stream = None

    def _result(self, outcome: str, result: Any) -> None:
        delegated = (result.result.get("_ansible_delegated_vars") or {}).get("ansible_delegated_host")
        host = f"{result.host.get_name()}->{delegated}" if delegated else result.host.get_name()
        item = (
            result.result.get("_ansible_item_label", result.result.get("item"))
            if result.result.get("_ansible_item_result")
            else None
        )
        self._write(line(host, outcome, result.task_name, result.result, item))

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Open the file of this run."""
        name = os.path.splitext(os.path.basename(str(getattr(playbook, "_file_name", "run"))))[0]
        directory = os.path.abspath(str(self.get_option("directory")))
        path = os.path.join(directory, f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{name}-{os.getpid()}.log")
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._stream = open(descriptor, "a", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed when the run ends)
        except OSError as error:
            self._display.vv(f"run_log: {path} cannot be written: {error}")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins."""
        self._write(f"play        {words(play.get_name())}")

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task went well."""
        self._result("changed" if result.is_changed() else "ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        self._result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host was not there."""
        self._result("unreachable", result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """An element of a loop failed."""
        self._result("item failed", result)

    def v2_runner_retry(self, result: Any) -> None:
        """A task is tried again."""
        self._result("retried", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run ends: how it went on each host."""
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            self._write(
                f"end         {host:<12} "
                + " ".join(f"{key}={counts[key]}" for key in ("ok", "changed", "unreachable", "failures", "rescued"))
            )
