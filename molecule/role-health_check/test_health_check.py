from __future__ import annotations

from testinfra.host import Host

from tests.support.hosts import has_file, runs_now_and_at_boot, succeeds


def test_the_timer_runs_now_and_at_boot(host: Host) -> None:
    runs_now_and_at_boot(host, "gradual-health-check.timer")


def test_files(host: Host) -> None:
    has_file(host, "/usr/local/sbin/gradual-health-check", "root", "root", 0o755)
    has_file(host, "/etc/gradual/health-check.json", "root", "root", 0o644)


def test_systemd_accepts_both_units(host: Host) -> None:
    units = "/etc/systemd/system/gradual-health-check.service /etc/systemd/system/gradual-health-check.timer"
    succeeds(host, f"systemd-analyze verify {units}")


def test_the_service_may_not_change_the_system(host: Host) -> None:
    assert host.service("gradual-health-check").systemd_properties["ProtectSystem"] == "strict"


def test_the_settings_are_valid_json(host: Host) -> None:
    succeeds(host, "python3 -m json.tool /etc/gradual/health-check.json")
