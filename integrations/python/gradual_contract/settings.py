# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""What a process knows from the start: the release that runs, and where the flags are."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger("gradual_contract")


def release(root: Path) -> dict[str, Any]:
    """{application, release, digest} from .release.json, which Gradual writes beside the application."""
    try:
        told = json.loads((root / ".release.json").read_text(encoding="utf-8"))
        return {key: told.get(key) for key in ("application", "release", "digest")}
    except FileNotFoundError:
        pass  # it was not installed by Gradual
    except (OSError, ValueError, AttributeError) as error:
        log.warning("cannot read %s: %s", root / ".release.json", error)
    return {"application": root.name, "release": None, "digest": None}


def flags_file(application: str) -> str:
    return os.environ.get("FLAGS_FILE") or f"/etc/gradual/{application}/flags.json"
