from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.support.hosts import has_file, runs_now_and_at_boot, succeeds


def test_haproxy_runs_now_and_at_boot(host: Host) -> None:
    runs_now_and_at_boot(host, "haproxy")


@pytest.mark.parametrize("port", [80, 443, 8404])
def test_haproxy_listens(host: Host, port: int) -> None:
    assert host.socket(f"tcp://0.0.0.0:{port}").is_listening


@pytest.mark.parametrize(
    ("path", "user", "group", "mode"),
    [
        ("/etc/haproxy/haproxy.cfg", "root", "haproxy", 0o640),
        ("/etc/haproxy/certificates", "root", "root", 0o700),
        ("/etc/haproxy/certificates/front-door.pem", "root", "root", 0o600),
        ("/usr/local/sbin/gradual-server-state", "root", "root", 0o755),
    ],
)
def test_files(host: Host, path: str, user: str, group: str, mode: int) -> None:
    has_file(host, path, user, group, mode)


def test_haproxy_accepts_its_configuration(host: Host) -> None:
    succeeds(host, "haproxy -c -f /etc/haproxy/haproxy.cfg")


def test_the_unit_keeps_the_state_of_the_servers(host: Host) -> None:
    dropins = host.service("haproxy").systemd_properties["DropInPaths"]
    assert "/etc/systemd/system/haproxy.service.d/keep-server-state.conf" in dropins
