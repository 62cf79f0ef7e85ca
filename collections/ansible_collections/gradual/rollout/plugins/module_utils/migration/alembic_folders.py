# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The folders of Alembic's revision files: what version_locations in alembic.ini says, else `<path>/versions`.

Source of the forms: Alembic's documentation, "Editing the .ini File" and "Working with Branches".
"""

from __future__ import annotations

import configparser
import os
import re
from typing import Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

# What path_separator may say; without it, Alembic divides at commas and spaces.
_SEPARATORS = {"os": re.escape(os.pathsep), "space": " ", "newline": "\n", ":": ":", ";": ";"}
_LEGACY = r",|\s"


def of(directory: str, path: str) -> list[str]:
    """Absolute paths of folders that exist, in a wheel of the release too. path: as in the manifest."""
    settings = _settings(os.path.join(directory, "alembic.ini"))
    told = settings.get("version_locations", "")
    if not told:
        folder = os.path.join(directory, path, "versions")
        if not os.path.isdir(folder):
            raise DatabaseError(
                f"there is no folder {folder}; write as path the folder of the release that contains versions"
            )
        return [folder]
    if settings.get("recursive_version_locations", "false").strip().lower() in ("true", "1", "yes", "on"):
        raise DatabaseError(
            f"recursive_version_locations in {directory}/alembic.ini: got true, expected false; write each folder in"
            " version_locations"
        )
    named = settings.get("path_separator") or settings.get("version_path_separator")
    separator = _SEPARATORS.get(named, re.escape(named)) if named else _LEGACY
    places = [one.strip() for one in re.split(separator, told) if one.strip()]
    return [_folder(one.replace("%(here)s", directory).replace("%%", "%"), directory) for one in places]


def _settings(file: str) -> Mapping[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise DatabaseError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    return parser["alembic"] if parser.has_section("alembic") else {}


def _folder(place: str, directory: str) -> str:
    """A path below the release, or `package:folder` of the release, its .venv or its wheels."""
    if os.path.isabs(place) or ":" not in place:
        found = os.path.join(directory, place)
        if os.path.isdir(found):
            return found
    else:
        package, *inside = place.split(":")
        for root in (directory, *python_files.libraries(directory)):
            found = os.path.join(root, *package.split("."), *inside)
            if os.path.isdir(found) or python_files.listed_in_wheel(found):
                return found
    raise DatabaseError(
        f"version_locations in {directory}/alembic.ini: got {place!r}, which is no folder of the release, of its .venv"
        " or of its wheels"
    )
