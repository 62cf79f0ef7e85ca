"""What is shown of a schema or a program's message: no password, no key, no row, and everything else."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import masking, schema_text

MAPPING = "CREATE USER MAPPING FOR a SERVER s OPTIONS (\n    {},\n    \"user\" 'app'\n);"
# (text, what is shown); every secret has "hush" in it.
SECRETS = [
    (MAPPING.format("password 'it''s hush'"), MAPPING.format("password ********")),
    (MAPPING.format("whatever E'\\\\hush'"), MAPPING.format("whatever ********")),
    (MAPPING.format("pass 'two\nlines of hush'"), MAPPING.format("pass ********\n")),
    (
        "Command was: CREATE USER MAPPING FOR a SERVER s OPTIONS (\n    key 'hush'\n);",
        "Command was: CREATE USER MAPPING FOR a SERVER s OPTIONS (\n    key ********\n);",
    ),
    (
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (\n    host 'h',\n    account_id 'hush'\n);",
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (\n    host 'h',\n    account_id ********\n);",
    ),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hush dbname=d' PUBLICATION p;",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=******** dbname=d' PUBLICATION p;",
    ),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'host=h sslpassword = ''a hush\\''s'' dbname=d' PUBLICATION p;",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h sslpassword = ******** dbname=d' PUBLICATION p;",
    ),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'postgresql://u:hush@h/d' PUBLICATION p;",
        "CREATE SUBSCRIPTION s CONNECTION 'postgresql://u:********@h/d' PUBLICATION p;",
    ),
    ("CREATE ROLE r LOGIN PASSWORD 'hush';", "CREATE ROLE r LOGIN PASSWORD ********;"),
    ("ALTER ROLE r ENCRYPTED PASSWORD 'ends with \\';--hush'", "ALTER ROLE r ENCRYPTED PASSWORD ********;--hush'"),
    ("ALTER ROLE r PASSWORD $x$hush$x$;", "ALTER ROLE r PASSWORD ********;"),
    (
        "PERFORM dblink_connect('host=h user=u password=hush');",
        "PERFORM dblink_connect('host=h user=u password=********');",
    ),
    (
        "PERFORM dblink('postgres://u:hush@h:5432/d', 'SELECT 1');",
        "PERFORM dblink('postgres://u:********@h:5432/d', 'SELECT 1');",
    ),
    ("    api_key := 'hush';", "    api_key := ********;"),
    ("OPTIONS (aws_secret_access_key 'hush')", "OPTIONS (aws_secret_access_key ********)"),
    (
        """SET "app.jwt_secret" TO 1; header = '{"token": "hush"}';""",
        """SET "app.jwt_secret" TO 1; header = '{"token": ********}';""",
    ),
    ("auth_token => E'hu\\'hush'", "auth_token => ********"),
    ('CONTEXT:  COPY t, line 1: "1\thush"', "CONTEXT:  COPY t, line 1…"),
    ("DETAIL:  Failing row contains (1, hush\nhush).\nHINT:  none", "DETAIL:  Failing row contains…\nHINT:  none"),
    ("DETAIL:  Key (mail)=(hush) already exists.\npg_restore: error: x", "DETAIL:  Key …\npg_restore: error: x"),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_no_secret_is_shown(text: str, shown: str) -> None:
    assert masking.masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (\n    password text,\n    token uuid NOT NULL\n);",
        "COMMENT ON COLUMN t.password IS 'a hash';",
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (\n    host 'h',\n    port '5432'\n);",
        'ERROR:  relation "t" already exists',
        "CREATE INDEX token_key ON t USING btree (token);",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert masking.masked(text) == text


def test_a_secret_that_differs_is_a_difference_that_does_not_show_it() -> None:
    live, restored = (MAPPING.format(f"password '{one}'") for one in ("hush", "loud"))
    assert schema_text.differences(live, restored) == ["-    password ********,", "+    password ********,"]
    live = MAPPING.format("a_key 'two\nlines'")
    assert schema_text.differences(live, live + "\nmore") == ["+more"]
