"""Artifacts of a small application that keeps the contract and misbehaves as its knobs say (see `run` beside this
file).

    arguments = toy.release("1.1.6", {"bad_after": 33}, bake={"canary": 20})
    run("deploy.yml", *arguments)

The artifact is packed and put where the hosts of the fleet under test fetch theirs. The same version and knobs are the
same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support import fleet
from tests.support.manifests import LOUD

APPLICATION = Path(__file__).with_name("run")
PUBLISHED = "/srv/gradual/artifacts"
PAGE = {"name": "page", "path": "/", "contains": "<title>Storefront</title>"}


def pack(version: str, knobs: dict[str, Any]) -> bytes:
    """The artifact, a .tar.gz."""
    made = io.BytesIO()
    contents = {
        "run": (APPLICATION.read_bytes(), 0o755),
        "knobs.json": (json.dumps(knobs).encode(), 0o644),
        "VERSION": (version.encode(), 0o644),
    }
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        for name, (content, mode) in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    packed = bytearray(made.getvalue())
    packed[4:8] = bytes(4)  # gzip's time of packing
    return bytes(packed)


def manifest(version: str, knobs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The manifest of a toy's release; `changes` replace its keys."""
    packed = pack(version, knobs)
    return {
        "application": fleet.APPLICATION,
        "version": version,
        "artifact": {
            "url": f"http://{{{{ artifact_host }}}}:8000/artifacts/toy-{version}.tar.gz",
            "sha256": hashlib.sha256(packed).hexdigest(),
        },
        "features": [{"flag": flag} for flag in knobs.get("features", [])],
        "stages": [100],
        "bake": {"canary": 0, "aa": 0, "min": 5, "max": 60, "look": 5, "expiry": 60},
        "gate": {"low_traffic": "hold", "min_requests": 20},
        "on_abort": "release",
        "smoke": [PAGE],
        "backup": {"method": "dump", "level": "restored"},
        **changes,
    }


def publish(version: str, knobs: dict[str, Any]) -> None:
    """Put the artifact where the hosts fetch it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"toy-{version}.tar.gz"
        path.write_bytes(pack(version, knobs))
        path.chmod(0o644)
        subprocess.run(
            fleet.podman("cp", str(path), f"{fleet.container('mon1')}:{PUBLISHED}/"), check=True, capture_output=True
        )


def release(version: str, knobs: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """Arguments of ansible-playbook that deploy a toy; it is published first."""
    publish(version, knobs or {})
    return ["-e", json.dumps({**manifest(version, knobs or {}, **changes), "preflight_accepted_alerts": LOUD})]
