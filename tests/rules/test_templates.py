"""The example inventory through the provisioning templates: what comes out is judged by the programs that will read
it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
# As awkward as passwords may be.
PASSWORD = r"""a'b"c\d$e%f/g@h:i j"""
SECRETS = {
    f"vault_{name}": PASSWORD
    for name in (
        "database_owner_password",
        "database_application_password",
        "database_monitoring_password",
        "session_key",
        "alert_webhook_token",
    )
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "secrets.json").write_text(
        json.dumps({**SECRETS, "render_to": str(folder), "balancer_certificate_directory": str(folder / "tls")})
    )
    playbook = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [playbook, "-i", "inventories/example", "-e", f"@{folder}/secrets.json", "tests/rules/render.playbook"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def read(rendered: Path, name: str) -> str:
    return (rendered / name).read_text()


def judge(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus(rendered: Path) -> None:
    judge("promtool", "check", "config", "--syntax-only", str(rendered / "mon1.example.org-prometheus.yml"))
    assert "{host: app2.example.org, instance: 'app2.example.org:8080'}" in read(
        rendered, "mon1.example.org-prometheus.yml"
    )


def test_alertmanager(rendered: Path) -> None:
    judge("amtool", "check-config", str(rendered / "mon1.example.org-alertmanager.yml"))


def test_haproxy(rendered: Path) -> None:
    (rendered / "tls").mkdir()
    pair = ["-keyout", str(rendered / "tls/key"), "-out", str(rendered / "tls/crt")]
    judge(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-batch",
        "-subj",
        "/CN=shop.example.org",
        *pair,
    )
    (rendered / "tls/front-door.pem").write_text(
        (rendered / "tls/crt").read_text() + (rendered / "tls/key").read_text()
    )
    (rendered / "tls/key").unlink()
    (rendered / "tls/crt").unlink()
    judge(
        shutil.which("haproxy", path="/usr/sbin:/usr/bin") or "haproxy",
        "-c",
        "-f",
        str(rendered / "lb1.example.org-haproxy.cfg"),
    )
    servers = re.findall(r"^    server (\S+) (\S+)$", read(rendered, "lb1.example.org-haproxy.cfg"), re.M)
    assert servers == [
        ("app1.example.org", "192.0.2.11:8080"),
        ("app2.example.org", "192.0.2.12:8080"),
        ("app3.example.org", "192.0.2.13:8080"),
    ]


@pytest.mark.parametrize(
    ("host", "opened"),
    [
        ("app1", {"22": "0.0.0.0/0", "8080": "192.0.2.30, 192.0.2.5, 192.0.2.6", "9100": "192.0.2.30"}),
        (
            "db1",
            {
                "22": "0.0.0.0/0",
                "5432": "192.0.2.11, 192.0.2.12, 192.0.2.13",
                "9187": "192.0.2.30",
                "9100": "192.0.2.30",
            },
        ),
        ("lb1", {"22": "0.0.0.0/0", "80": "0.0.0.0/0", "443": "0.0.0.0/0", "8404": "192.0.2.30", "9100": "192.0.2.30"}),
        # Without operators' networks nobody reaches Prometheus or Alertmanager.
        ("mon1", {"22": "0.0.0.0/0", "8000": "192.0.2.11, 192.0.2.12, 192.0.2.13, 192.0.2.20"}),
    ],
)
def test_firewall_opens_what_it_must_and_no_more(rendered: Path, host: str, opened: dict[str, str]) -> None:
    text = read(rendered, f"{host}.example.org-nftables.conf")
    found = re.findall(r"ip saddr \{ ([^}]*) \} tcp dport (\d+) accept", text)
    assert {port: sources for sources, port in found} == opened
    assert "policy drop" in text


def test_database_lets_in_only_the_application_and_only_encrypted(rendered: Path) -> None:
    lines = [
        line.split()
        for line in read(rendered, "db1.example.org-pg_hba.conf").splitlines()
        if line and not line.startswith("#")
    ]
    remote = [line for line in lines if line[0] != "local" and line[3] != "127.0.0.1/32"]
    assert remote == [
        ["hostssl", "shop", "shop_app", f"192.0.2.{number}/32", "scram-sha-256"] for number in (11, 12, 13)
    ]


def test_passwords_arrive_as_they_are(rendered: Path) -> None:
    """As systemd reads an environment file, and libpq a URL or a connection string; a shell reads the quoted ones
    alike."""
    from urllib.parse import unquote, urlsplit

    for name, user in [
        ("app1.example.org-environment", "shop_app"),
        ("db1.example.org-database.environment", "shop_owner"),
    ]:
        found = re.search(r'^DATABASE_URL="?(postgresql://[^"\n]*)"?$', read(rendered, name), re.M)
        assert found
        parts = urlsplit(found[1])
        assert (parts.username, unquote(parts.password or ""), parts.path) == (user, PASSWORD, "/shop")
    line = next(
        line
        for line in read(rendered, "db1.example.org-exporter.environment").splitlines()
        if line.startswith("DATA_SOURCE_NAME=")
    )
    outer = re.sub(r"\\(.)", r"\1", line.removeprefix('DATA_SOURCE_NAME="').removesuffix('"'))
    inner = re.search(r"password='((?:\\.|[^'\\])*)'", outer)
    assert inner
    assert re.sub(r"\\(.)", r"\1", inner[1]) == PASSWORD


def test_the_health_check_knows_every_host(rendered: Path) -> None:
    settings = json.loads(read(rendered, "mon1.example.org-health-check.json"))
    assert settings["hosts"] == {f"app{number}.example.org": f"http://192.0.2.1{number}:8080" for number in (1, 2, 3)}


def test_a_missing_vault_says_how_to_make_one() -> None:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [
            playbook,
            "-i",
            "inventories/example",
            "-e",
            "render_to=/nonexistent",
            "--limit",
            "app1.example.org",
            "tests/rules/render.playbook",
        ],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "group_vars/all/vault.yml says how to make" in " ".join((done.stdout + done.stderr).split())
