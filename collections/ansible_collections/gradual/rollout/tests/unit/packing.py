# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Makes archives as a test wants them, hostile ones too."""

from __future__ import annotations

import io
import tarfile
from typing import Any

Entry = tuple[str, Any]


def packed(*entries: Entry) -> bytes:
    """A tar.gz; an entry is (name, text), (name, None) for a directory, or (name, TarInfo changes)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.size, member.mode = len(content.encode()), 0o4755 if content.startswith("#!") else 0o666
                archive.addfile(member, io.BytesIO(content.encode()))
                continue
            else:
                for key, value in content.items():
                    setattr(member, key, value)
            archive.addfile(member)
    return stream.getvalue()


def link(target: str, hard: bool = False) -> dict[str, Any]:
    return {"type": tarfile.LNKTYPE if hard else tarfile.SYMTYPE, "linkname": target}
