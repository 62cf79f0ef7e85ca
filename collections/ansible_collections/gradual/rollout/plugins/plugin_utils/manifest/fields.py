# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a field of a release manifest is made of, and the forms of names in it.

A field is a dictionary: type (str, int, float, bool, list, dict, json), description, and where wanted required,
default, choices, options (of a dict, or of the elements of a list of dicts), elements (of a list), least and most
(numbers), pattern and example (strings), and fill (an absent dict is filled with its own defaults).
"""

from __future__ import annotations

from typing import Any

Field = dict[str, Any]

NAME = r"[a-z][a-z0-9-]{0,62}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}"
# Names of revisions, as the migration tools write them: 0003, shop.0003_note, V1.2__add notes, view@v1.
REVISION = r"[\w.@+-]([\w.@+ -]*[\w.@+-])?"
FLAG = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
