from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.support.hosts import has_file, runs_now_and_at_boot, succeeds


@pytest.mark.parametrize(
    "service",
    ["prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "gradual-alert-receiver", "nginx"],
)
def test_services_run_now_and_at_boot(host: Host, service: str) -> None:
    runs_now_and_at_boot(host, service)


@pytest.mark.parametrize("address", ["0.0.0.0:8000", ":::9090", ":::9093"])
def test_services_listen(host: Host, address: str) -> None:
    assert host.socket(f"tcp://{address}").is_listening


@pytest.mark.parametrize(
    ("path", "group", "mode"),
    [
        ("/etc/prometheus/alert-receiver-token", "prometheus", 0o640),
        ("/etc/prometheus/alertmanager.yml", "prometheus", 0o640),
        ("/etc/prometheus/prometheus.yml", "root", 0o644),
        ("/usr/local/sbin/gradual-alert-receiver", "root", 0o755),
        ("/etc/gradual/dashboards/rollout.json", "root", 0o644),
    ],
)
def test_files(host: Host, path: str, group: str, mode: int) -> None:
    has_file(host, path, "root", group, mode)


@pytest.mark.parametrize(
    "command",
    [
        "promtool check config /etc/prometheus/prometheus.yml",
        "amtool check-config /etc/prometheus/alertmanager.yml",
        "nginx -t -q",
    ],
)
def test_each_program_accepts_its_configuration(host: Host, command: str) -> None:
    succeeds(host, command)
