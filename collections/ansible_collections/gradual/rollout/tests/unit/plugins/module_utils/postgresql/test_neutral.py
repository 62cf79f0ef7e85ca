"""Connection strings and options as libpq reads them, and what a throwaway cluster gets."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import neutral, taken_over
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import conninfo, keywords


@pytest.mark.parametrize(
    "name", ["shop", "MyShop", "a=b", "postgresql://x", "it's", "back\\slash", 'a "b" c', "ü", "$x*"]
)
def test_a_connection_string_keeps_every_name(name: str) -> None:
    given = {"dbname": name, "host": "/run/a b", "options": neutral.options()}
    assert keywords(conninfo(given)) == given


def test_options_escape_blanks_and_can_be_changed() -> None:
    shown = neutral.options({"lock_timeout": 5, "app.x": "a b\\"})
    assert "-c default_transaction_isolation=read\\ committed" in shown
    assert shown.count("-c lock_timeout=") == 1
    assert shown.endswith("-c app.x=a\\ b\\\\")


@pytest.mark.parametrize(
    ("major", "since"),
    [
        (13, []),
        (15, ["idle_session_timeout"]),
        (17, ["idle_session_timeout", "transaction_timeout"]),
    ],
)
def test_a_server_gets_no_option_that_it_does_not_know(major: int, since: list[str]) -> None:
    names = [word.partition("=")[0] for word in neutral.of_copy(major).split("-c ")]
    assert [one for one in names if one in ("idle_session_timeout", "transaction_timeout")] == since


@pytest.mark.parametrize(("tables", "locks"), [(0, "64"), (320, "64"), (5000, "1000")])
def test_a_copy_has_room_for_the_locks_of_all_its_tables(tables: int, locks: str) -> None:
    assert taken_over.locks(tables) == {"max_locks_per_transaction": locks}
