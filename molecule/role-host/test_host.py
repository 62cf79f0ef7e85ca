from __future__ import annotations

from testinfra.host import Host

from tests.support.hosts import has_file, runs_now_and_at_boot, succeeds


def test_the_node_exporter_runs_and_listens(host: Host) -> None:
    runs_now_and_at_boot(host, "prometheus-node-exporter")
    assert host.socket("tcp://:::9100").is_listening


def test_files(host: Host) -> None:
    has_file(host, "/etc/gradual", "root", "root", 0o755)
    has_file(host, "/etc/gradual/front-door-ca.pem", "root", "root", 0o644)
    has_file(host, "/etc/nftables.conf", "root", "root", 0o644)


def test_the_firewall_is_loaded_and_starts_at_boot(host: Host) -> None:
    assert host.service("nftables").is_enabled
    succeeds(host, "nft --check --file /etc/nftables.conf")
    assert "9100" in host.run("nft list ruleset").stdout
