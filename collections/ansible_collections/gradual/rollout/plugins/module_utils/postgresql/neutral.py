# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Settings that decide nothing: options of a connection take precedence over ALTER DATABASE … SET and ALTER ROLE … SET.

Without them, a setting of the live database would decide whether its backup can be taken, restored and compared.
"""

from __future__ import annotations

from typing import Mapping

# lc_monetary is not here: a dump contains the text of money, and the database is restored with its setting.
SETTINGS = {
    "array_nulls": "on",
    "client_min_messages": "warning",
    "default_tablespace": "",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "idle_in_transaction_session_timeout": "0",
    "intervalstyle": "postgres",
    "jit": "off",
    "lock_timeout": "0",
    "quote_all_identifiers": "off",
    "role": "none",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "temp_tablespaces": "",
    # Enough for the catalogs of thousands of tables without a temporary file, which temp_file_limit may forbid.
    "work_mem": "64MB",
}
# Of a throwaway copy, whose sessions are of its superuser. The number is the first version that has the setting.
_COPY = {
    "event_triggers": ("off", 17),
    "idle_session_timeout": ("0", 14),
    "ignore_checksum_failure": ("off", 0),
    "lc_messages": ("C", 0),
    "session_preload_libraries": ("", 0),
    "local_preload_libraries": ("", 0),
    "session_replication_role": ("origin", 0),
    "temp_file_limit": ("-1", 0),
    "transaction_timeout": ("0", 17),
    "zero_damaged_pages": ("off", 0),
}


def options(changes: Mapping[str, object] | None = None) -> str:
    """The settings, with these changes, as libpq's parameter `options`."""
    return " ".join(f"-c {name}={_escaped(str(value))}" for name, value in {**SETTINGS, **(changes or {})}.items())


def of_copy(major: int) -> str:
    """The options for a superuser's session in a throwaway copy of that major version."""
    return options({name: value for name, (value, since) in _COPY.items() if major >= since})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
