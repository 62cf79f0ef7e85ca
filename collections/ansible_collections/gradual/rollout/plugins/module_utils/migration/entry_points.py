# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The entry points that the distributions of a release declare, read from their metadata: how a project finds the
plugins that are installed beside it."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from typing import Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable

# The functions that return the entry points of a group.
ENTRY_POINTS = frozenset(
    ("importlib.metadata.entry_points", "importlib_metadata.entry_points", "pkg_resources.iter_entry_points")
)
_METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True)
class EntryPoint:
    """One line of entry_points.txt; value: `module:attribute [extras]`."""

    name: str
    value: str
    group: str

    @property
    def module(self) -> str:
        """The module, without the attribute in it."""
        return self.value.partition("[")[0].partition(":")[0].strip()

    # As pkg_resources calls it.
    module_name = module

    @property
    def attr(self) -> str:
        """What the module holds, or ""."""
        return self.value.partition("[")[0].partition(":")[2].strip()


def declared(roots: Sequence[str]) -> list[EntryPoint] | None:
    """All entry points of the distributions in folders and wheels; None where there are no distributions. Unreadable
    when one of their files is damaged."""
    folders = [folder for root in roots for folder in _distributions(root)]
    return [one for folder in folders for one in _of(os.path.join(folder, "entry_points.txt"))] if folders else None


def _distributions(root: str) -> list[str]:
    """The folders with the metadata of distributions."""
    inside = os.path.join(root, "")
    names = python_files.listed_in_wheel(inside) or (os.listdir(root) if os.path.isdir(root) else [])
    return [os.path.join(root, one) for one in sorted(names) if one.endswith(_METADATA)]


def _of(file: str) -> Iterator[EntryPoint]:
    if not python_files.exists(file):
        return
    # Names are told apart by case, and may have a colon.
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(python_files.content(file).decode("utf-8", "replace"))
    except configparser.Error as error:
        raise Unreadable(f"{file} cannot be read: {error}") from None
    for group in parser.sections():
        for name, value in parser.items(group):
            yield EntryPoint(name, value, group)
