# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What the readers of statements and expressions need of the Python files of a release (python_names.py)."""

from __future__ import annotations

import ast
from typing import Any, Iterable, Mapping, Protocol, Sequence


class Library(Protocol):
    """The files of a release."""

    def module(self, name: str) -> Module | None:
        """The file with this dotted name."""

    def find(self, dotted: str, depth: int = 0) -> tuple[Module, Any] | None:
        """What a dotted name stands for, with the file that it is in."""

    def setting(self, name: str) -> Any:
        """The value of one of Django's settings."""

    def entry_points(self, group: str, name: str | None = None) -> list[Any]:
        """What the distributions of the release declare."""

    def states(self) -> Iterable[dict[str, Any]]:
        """The values of the files that were read."""


class Module(Protocol):
    """One file."""

    name: str
    file: str
    names: dict[str, Any]

    @property
    def library(self) -> Library:
        """The files of its release."""

    @property
    def state(self) -> dict[str, Any]:
        """The values at its top level."""

    def value(self, node: ast.expr, local: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
        """The value of an expression."""

    def dotted(self, node: ast.expr) -> str | None:
        """The full name that an expression stands for."""

    def origin(self, node: ast.ImportFrom) -> str:
        """The full name of the module that names are imported from."""

    def is_own(self, node: ast.ImportFrom) -> bool:
        """Whether it imports from the release's own files."""

    def imports(self, body: Sequence[ast.stmt]) -> bool | None:
        """Whether imports find their files."""

    def take_over(self, other: Any) -> None:
        """The imports, functions and classes that `from other import *` brings."""
