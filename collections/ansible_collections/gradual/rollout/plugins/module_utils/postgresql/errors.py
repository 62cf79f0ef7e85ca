# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The one family of errors of the database part."""

from __future__ import annotations


class DatabaseError(Exception):
    """What is wrong, the value seen and what to type next, in one message for the operator."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def sentence(error: Exception) -> str:
    """What went wrong; of a file, a disk or a connection what the system says of it, and of which."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
