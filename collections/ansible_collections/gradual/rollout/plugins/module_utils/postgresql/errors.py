# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The error of everything that works with the database."""

from __future__ import annotations


class DatabaseError(Exception):
    """A message for the operator: what is wrong, the value, and what to type. sqlstate: the server's code, or ""."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def sentence(error: Exception) -> str:
    """What went wrong; of a file, a disk or a connection what the system says of it, and of which."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
