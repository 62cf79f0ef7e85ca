from __future__ import annotations

from testinfra.host import Host

from tests.support.hosts import has_file, succeeds


def test_the_user_cannot_log_in(host: Host) -> None:
    user = host.user("storefront")
    assert (user.shell, user.home) == ("/usr/sbin/nologin", "/opt/storefront")


def test_files(host: Host) -> None:
    has_file(host, "/opt/storefront/releases", "root", "root", 0o755)
    has_file(host, "/etc/storefront/environment", "root", "storefront", 0o640)
    has_file(host, "/etc/gradual/storefront/flags.json", "root", "root", 0o644)
    has_file(host, "/etc/systemd/system/storefront.service", "root", "root", 0o644)


def test_the_service_waits_for_the_first_release(host: Host) -> None:
    service = host.service("storefront")
    assert service.is_enabled
    assert not service.is_running


def test_systemd_accepts_the_service_and_protects_the_host(host: Host) -> None:
    properties = host.service("storefront").systemd_properties
    assert properties["LoadState"] == "loaded"
    assert (properties["User"], properties["NoNewPrivileges"]) == ("storefront", "yes")
    assert properties["ProtectSystem"] == "strict"


def test_the_flags_file_is_valid_json(host: Host) -> None:
    succeeds(host, "python3 -m json.tool /etc/gradual/storefront/flags.json")
