"""Assertions about one host, read by testinfra."""

from __future__ import annotations

from testinfra.host import Host


def runs_now_and_at_boot(host: Host, service: str) -> None:
    unit = host.service(service)
    assert unit.is_running, host.run(f"journalctl --no-pager --lines 30 --unit {service}").stdout
    assert unit.is_enabled


def has_file(host: Host, path: str, user: str, group: str, mode: int) -> None:
    file = host.file(path)
    assert file.exists, path
    assert (file.user, file.group, oct(file.mode)) == (user, group, oct(mode)), path


def succeeds(host: Host, command: str) -> None:
    done = host.run(command)
    assert done.rc == 0, f"{command}: {done.stdout}{done.stderr}"
