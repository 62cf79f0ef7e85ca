"""A pooler between the migration and the server is found by what it cannot hide, whatever its configuration."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import connection_check
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import settings as session_settings
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from .pooler import pooler
from .server import OWNER, PASSWORD, RUN_AS, Shop

SETTINGS = session_settings(50, 60000, 150000)


@pytest.mark.parametrize(
    ("mode", "settings", "said"),
    [
        ("transaction", [], "unsupported startup parameter.*If it is a pooler's address, write the server's own"),
        ("transaction", ["ignore_startup_parameters = options"], "goes through a pooler: got process"),
        ("session", ["ignore_startup_parameters = options"], "goes through a pooler: got process"),
    ],
)
def test_a_pooler_is_refused(empty: Shop, mode: str, settings: list[str], said: str) -> None:
    # The role has by chance what we would ask for, so nothing that is dropped on the way is missed.
    for name, value in SETTINGS.items():
        if name != "client_connection_check_interval":
            empty.run(f"ALTER ROLE {OWNER} IN DATABASE {empty.name} SET {name} = {value}")
    with pooler(empty, f"pool_mode = {mode}", *settings) as url, empty.session() as ours:
        with pytest.raises(DatabaseError, match=said) as seen:
            connection_check.check(ours, {"DATABASE_URL": url}, RUN_AS, SETTINGS, empty.name)
        assert PASSWORD not in str(seen.value)
        # Control: the server itself.
        connection_check.check(ours, {"DATABASE_URL": empty.url}, RUN_AS, SETTINGS, empty.name)
