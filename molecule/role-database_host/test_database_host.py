from __future__ import annotations

from testinfra.host import Host

from tests.support.hosts import has_file, runs_now_and_at_boot

SQL = "runuser -u postgres -- psql -XAt -c"


def test_postgresql_and_its_exporter_run(host: Host) -> None:
    version = host.file("/etc/postgresql").listdir()[0]
    assert host.service(f"postgresql@{version}-main").is_running
    runs_now_and_at_boot(host, "prometheus-postgres-exporter")


def test_postgresql_listens(host: Host) -> None:
    assert host.socket("tcp://0.0.0.0:5432").is_listening


def test_files(host: Host) -> None:
    has_file(host, "/var/backups/gradual/storefront", "postgres", "postgres", 0o700)
    has_file(host, "/etc/gradual/storefront/database.environment", "root", "root", 0o600)
    has_file(host, "/etc/default/prometheus-postgres-exporter", "root", "root", 0o600)


def test_postgresql_accepts_its_files(host: Host) -> None:
    for view in ("pg_file_settings", "pg_hba_file_rules"):
        assert host.check_output(f'{SQL} "SELECT count(*) FROM {view} WHERE error IS NOT NULL"') == "0", view


def test_no_setting_waits_for_a_restart(host: Host) -> None:
    assert host.check_output(f'{SQL} "SELECT count(*) FROM pg_settings WHERE pending_restart"') == "0"
