"""The environment file and its DATABASE_URL, in parts and without secrets."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def test_an_environment_file_is_read_as_systemd_does() -> None:
    text = "# note\n\nDATABASE_URL=postgresql://o:p@h/d?x=1\nA='b c'\n; more\nexport C=\"d\"\nE=\n"
    assert dsn.variables(text, "f") == {"DATABASE_URL": "postgresql://o:p@h/d?x=1", "A": "b c", "C": "d", "E": ""}
    with pytest.raises(DatabaseError, match="f, line 2, is not KEY=value"):
        dsn.variables("A=b\nnonsense\n", "f")


@pytest.mark.parametrize(
    ("url", "seen", "database"),
    [
        ("postgresql://o:p@h/shop", "postgresql://o:p@h/shop", "shop"),
        (
            "postgresql+psycopg://o:p@h/shop%20two?sslmode=require",
            "postgresql://o:p@h/shop%20two?sslmode=require",
            "shop two",
        ),
    ],
)
def test_the_address_is_what_libpq_takes(url: str, seen: str, database: str) -> None:
    assert dsn.libpq_url(url) == seen
    assert dsn.database_of(url) == database
    assert ":p@" not in dsn.without_password(url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql+asyncpg://o:p@h/d", "ignores PGOPTIONS"),
        ("shop", "is not a URL"),
        ("postgresql://h", "names no database"),
    ],
)
def test_an_address_that_would_escape_the_timeouts_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        dsn.database_of(url)


def test_no_secret_of_the_environment_is_in_any_text() -> None:
    hidden = dsn.secrets(
        {
            "DATABASE_URL": "postgresql://o:s3cr%2Ft@h/d",
            "SESSION_KEY": "k3y",
            "PORT": "80",
            "CACHE": "redis://u:h1dden@c",
        }
    )
    text = dsn.scrubbed("postgresql://o:s3cr%2Ft@h/d s3cr/t k3y h1dden 80 and postgresql://x:other@y", hidden)
    assert not any(one in text for one in ("s3cr", "k3y", "h1dden", "other"))
    assert "80" in text


def test_a_password_in_the_query_of_an_address_is_one_too() -> None:
    url = "postgresql://h/shop?user=owner&password=s3cr%2Ft&sslmode=require"
    assert dsn.without_password(url) == "postgresql://h/shop"
    assert "s3cr" not in dsn.scrubbed(f"{url} s3cr/t s3cr%2Ft", dsn.secrets({"DATABASE_URL": url}))


def test_an_address_becomes_variables_without_an_argument() -> None:
    found = dsn.libpq_variables(
        "postgresql+psycopg://o:p%40ss@one,two:5433/shop?sslmode=require&target_session_attrs=read-write&keepalives=1"
    )
    assert found == {
        "PGUSER": "o",
        "PGPASSWORD": "p@ss",
        "PGHOST": "one,two",
        "PGPORT": ",5433",
        "PGDATABASE": "shop",
        "PGSSLMODE": "require",
        "PGTARGETSESSIONATTRS": "read-write",
    }
    with pytest.raises(DatabaseError, match="has replication, for which libpq has no variable"):
        dsn.libpq_variables("postgresql://o@one/shop?replication=database")
