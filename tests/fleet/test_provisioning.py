"""Provisioning a fleet that is provisioned: nothing changes, nothing is warned of, no secret is told."""

from __future__ import annotations

import pytest

from tests.support import fleet, secrets, seen
from tests.support.fixtures import Run

pytestmark = pytest.mark.usefixtures("finished")
PLAYBOOK = "playbooks/provision.yml"


def test_a_second_run_changes_nothing(run: Run) -> None:
    ran = run(PLAYBOOK, verbosity=3)
    ran.insist()
    assert seen.changed(ran.folder) == []
    assert seen.warnings(ran.folder) == []
    assert secrets.leaks([ran.folder], secrets.planted()) == []


def test_check_mode_tells_what_would_change_and_changes_nothing(run: Run) -> None:
    path = "/etc/haproxy/haproxy.cfg"
    before = fleet.execute("lb1", "cat", path)
    quiet = run(PLAYBOOK, "--check", "--diff", "--limit", "balancer")
    quiet.insist()
    assert seen.changed(quiet.folder) == []
    told = run(PLAYBOOK, "--check", "--diff", "--limit", "balancer", "-e", "balancer_rate_limit_requests=17")
    told.insist()
    assert any("Write the configuration" in task for task in seen.changed(told.folder))
    assert "gt 17" in told.screen
    assert fleet.execute("lb1", "cat", path) == before


def test_the_application_role_may_do_no_more_than_it_needs() -> None:
    assert fleet.query(
        "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles WHERE rolname ="
        " 'storefront_app'"
    ) == ["t|f|f|f|f"]
    assert fleet.query("SELECT has_schema_privilege('storefront_app', 'public', 'CREATE')") == ["f"]
    assert fleet.query(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'storefront_owner'"
    ) == ["0"]
    assert fleet.query("SELECT has_database_privilege('public', 'storefront', 'CONNECT')") == ["f"]


def test_secrets_are_readable_by_none_but_their_user() -> None:
    for host, path, wanted in [
        ("app1", "/etc/storefront/environment", "640 root storefront"),
        ("db1", "/etc/gradual/storefront/database.environment", "600 root root"),
        ("db1", "/etc/default/prometheus-postgres-exporter", "600 root root"),
        ("lb1", "/etc/haproxy/certificates/front-door.pem", "600 root root"),
        ("mon1", "/etc/prometheus/alert-receiver-token", "640 root prometheus"),
    ]:
        assert fleet.execute(host, "stat", "-c", "%a %U %G", path).strip() == wanted, path
