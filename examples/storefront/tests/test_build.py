"""The artifacts: the same source gives the same digest, and nothing but what is locked goes in."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from examples.storefront.tests.support import STOREFRONT, Releases, python311

PROJECT = STOREFRONT.parent.parent
LIBRARY = PROJECT / "integrations" / "python"
CACHE = PROJECT / ".cache" / "wheels"


def build(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False)


def checkout(root: Path) -> Path:
    """A copy of what the artifacts are made from; returns its folder of the storefront."""
    for folder in (STOREFRONT, LIBRARY):
        shutil.copytree(folder, root / folder.relative_to(PROJECT), ignore=shutil.ignore_patterns("__pycache__"))
    return root / STOREFRONT.relative_to(PROJECT)


def test_the_manifests_name_the_digests_that_the_source_gives(releases: Releases) -> None:
    done = build(STOREFRONT / "build", releases.artifacts, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_checkout_at_another_time_gives_the_same_digest(releases: Releases, tmp_path: Path) -> None:
    releases.build("2.0.0")
    copy = checkout(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)
    (copy / "versions" / "2.0.0" / "app" / "__pycache__").mkdir()
    (copy / "versions" / "2.0.0" / "app" / "__pycache__" / "search.pyc").write_bytes(b"stray")
    done = build(copy / "build", tmp_path / "out", "--version", "2.0.0", "--wheels", CACHE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "storefront-2.0.0.tar.gz.sha256").read_text().split()[0] == releases.digest("2.0.0")


def test_one_changed_byte_gives_another_digest_and_the_check_says_so(releases: Releases, tmp_path: Path) -> None:
    releases.build("2.0.0")
    root = tmp_path / "elsewhere"
    copy = checkout(root)
    shutil.copytree(PROJECT / "releases", root / "releases")
    with open(copy / "versions" / "2.0.0" / "app" / "search.py", "a") as file:
        file.write("\n")
    done = build(copy / "build", tmp_path / "out", "--check", "--wheels", CACHE)
    assert done.returncode == 1
    assert "releases/epic21.yml: names another digest" in done.stdout
    assert "first.yml" not in done.stdout
    assert build(copy / "build", tmp_path / "out", "--update-manifests", "--wheels", CACHE).returncode == 0
    assert build(copy / "build", tmp_path / "out", "--check", "--wheels", CACHE).returncode == 0


def test_a_second_build_writes_nothing(releases: Releases) -> None:
    releases.build("1.0.0")
    artifact = releases.artifacts / "storefront-1.0.0.tar.gz"
    before = artifact.stat().st_mtime_ns
    releases.build("1.0.0")
    assert artifact.stat().st_mtime_ns == before


def test_the_artifact_is_a_plain_tar_in_a_valid_gzip(releases: Releases) -> None:
    releases.build("2.0.0")
    packed = (releases.artifacts / "storefront-2.0.0.tar.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == releases.digest("2.0.0")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {
        "prepare",
        "run",
        "migrate",
        "seed",
        "requirements.txt",
        "alembic.ini",
        "app/search.py",
        "static/assets.json",
    } <= set(names)
    assert {member.mode for member in members} == {0o755, 0o644}
    assert len({member.mtime for member in members}) == 1
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "root")}
    assert not [name for name in names if name.startswith("/") or ".." in name or "__pycache__" in name]


def test_the_lock_pins_every_package_by_hash_and_names_no_address() -> None:
    lines = [line for line in (STOREFRONT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})+", line)] == []


def test_every_compiled_package_has_a_wheel_for_the_python_of_each_debian(releases: Releases) -> None:
    releases.build("1.0.0")
    with tarfile.open(releases.artifacts / "storefront-1.0.0.tar.gz") as archive:
        tags = [Path(name).name.split("-") for name in archive.getnames() if name.startswith("wheels/")]
    packages = {python: {tag[0] for tag in tags if tag[-2] == python} for python in ("cp311", "cp313")}
    assert "psycopg_binary" in packages["cp311"]
    assert packages["cp311"] == packages["cp313"]


def test_prepare_refuses_a_python_without_wheels(releases: Releases, tmp_path: Path) -> None:
    releases.build("1.0.0")
    shutil.unpack_archive(releases.artifacts / "storefront-1.0.0.tar.gz", tmp_path)
    # The artifact of a team that has not yet built for this Python.
    text = (tmp_path / "prepare").read_text()
    (tmp_path / "prepare").write_text(text.replace('(3, 11): "Debian 12", ', ""))
    done = subprocess.run([python311(), tmp_path / "prepare"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this artifact is for Python 3.13 (Debian 13);" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_prepare_refuses_a_wheel_that_is_not_locked(releases: Releases, tmp_path: Path) -> None:
    releases.build("1.0.0")
    shutil.unpack_archive(releases.artifacts / "storefront-1.0.0.tar.gz", tmp_path)
    wheel = next((tmp_path / "wheels").glob("flask-*"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    done = subprocess.run([python311(), tmp_path / "prepare"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{wheel.name} is not in requirements.txt" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_prepare_may_be_run_again_and_the_directory_be_renamed(releases: Releases) -> None:
    directory = releases.ready("1.0.0")
    mark = directory / ".venv" / ".made-from"
    before = mark.stat().st_mtime_ns
    subprocess.run([python311(), directory / "prepare"], check=True)
    assert mark.stat().st_mtime_ns == before
    for path in [directory / ".venv" / "pyvenv.cfg", *(directory / ".venv" / "bin").glob("python*")]:
        told = (
            os.readlink(path)
            if path.is_symlink()
            else "\n".join(line for line in path.read_text().splitlines() if not line.startswith("command"))
        )
        assert str(directory) not in told
