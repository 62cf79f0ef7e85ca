# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Backup method `pgbackrest`: the backup stays in pgBackRest's repository; the folder has the receipt and checksums."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, compare, restore_point, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Request, Work
from ansible_collections.gradual.rollout.plugins.module_utils.backup.basebackup import cluster_bytes, need_primary
from ansible_collections.gradual.rollout.plugins.module_utils.backup.repository import HARMLESS, Repository
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server, taken_over, wal
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.recovery import Target, recovered
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import (
    OVERHEAD,
    Scratch,
    scratch_folder,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

FILES = "repository.json"
_ANNOTATION = "gradual"


class PgBackRest(base.Method):
    """pgBackRest, whose output is checked as well as its status."""

    name = "pgbackrest"
    unlogged = False

    def disk_folder(self, request: Request) -> str:
        return Repository.of(request.options).local() or request.destination

    def check(self, request: Request, session: Session) -> None:
        need_primary(session, self.name)
        _need_this_cluster(Repository.of(request.options), session)

    def estimate(self, session: Session) -> int:
        return cluster_bytes(session)

    def fill(self, work: Work) -> dict[str, Any]:
        repository = Repository.of(work.request.options)
        repository.do("check")
        size = cluster_bytes(work.session)
        warnings = _take(repository, work)
        label = _label(repository, work.id)
        work.clock.lap("copy")
        try:
            taken = repository.backup(label)
        except DatabaseError as error:
            raise DatabaseError(f"{error}. {_discard(repository, label)}") from None
        try:
            held = restore_point.held(work)
        except DatabaseError as error:
            raise DatabaseError(
                f"{error}. The backup {label} stays in the repository, but its contents are unknown; do not use it",
                error.sqlstate,
            ) from None
        restore = {**held["restore"], **_where(repository, taken), "cluster_bytes": size}
        segments = _archived(repository, restore, work.request.deadline)
        work.clock.lap("archive")
        files = repository.sums(restore["labels"], list(segments.values()))
        with open(os.path.join(work.folder, FILES), "w", encoding="utf-8") as file:
            json.dump(files, file, indent=0, sort_keys=True)
        return {
            "format": "repository",
            **held,
            "warnings": warnings,
            "restore": restore,
            "size": int(taken["info"]["repository"]["delta"]),
            "tools": {"pgbackrest": repository.do("version").strip()},
        }

    def apply_retention(self, request: Request, taken: Mapping[str, Any]) -> list[str]:
        """Run pgBackRest's retention, unless it would remove the newest proven backup. Remove the receipts of what it
        removed."""
        repository = Repository.of(request.options)
        ours = [
            one
            for one in store.survey(request.destination)[0]
            if (one.get("restore") or {}).get("stanza") == repository.stanza
        ]
        proven = store.newest_proven(
            [one for one in ours if one["database"] == request.database and one["application"] == request.application]
        )
        lost = sorted(
            set(repository.would_expire()) & set((proven or {"restore": {"labels": ()}})["restore"]["labels"])
        )
        if lost and proven:
            what = (
                f"pgBackRest would expire {', '.join(lost)}, which the newest proven backup {proven['id']} needs;"
                " nothing was expired"
            )
            return [f"{what}. Verify the new backup, then the next one expires it; or raise repo1-retention-full"]
        repository.do("expire")
        left = {one["label"] for one in repository.info()["backup"]}
        for one in ours:
            if not left.issuperset(one["restore"]["labels"]) and one["id"] != taken["id"]:
                store.remove(one["path"])
        return []

    def intact(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        repository = Repository.of(receipt["restore"])
        repository.backup(receipt["restore"]["label"])
        with open(os.path.join(path, FILES), encoding="utf-8") as file:
            wanted = json.load(file)
        segments = list(_found(repository, receipt["restore"]).values())
        if not wanted:
            # The repository is on another host, so there are no checksums of its files.
            repository.verify(receipt["restore"]["labels"], timeout)
            return
        compare.none_of(store.file_differences(wanted, repository.sums(receipt["restore"]["labels"], segments)))

    def readable(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:  # noqa: ARG002 (other methods need it)
        Repository.of(receipt["restore"]).verify(receipt["restore"]["labels"], timeout)

    def copy_bytes(self, receipt: Mapping[str, Any]) -> int:
        return int(receipt["restore"]["cluster_bytes"]) + OVERHEAD

    @contextlib.contextmanager
    def restored_copy(
        self,
        path: str,  # noqa: ARG002 (other methods need it)
        receipt: Mapping[str, Any],
        parent: str,
        timeout: float,
        jobs: int = 2,
    ) -> Iterator[Scratch]:
        told = receipt["restore"]
        repository = Repository.of(told)
        programs = os.path.dirname(server.kept_program(receipt, "postgres"))
        with scratch_folder(parent) as folder:
            for name in ("data", "lock", "spool", "tablespaces"):
                os.mkdir(os.path.join(folder, name), 0o700)
            # Without these options, each path would be the live cluster's.
            repository.do(
                "restore",
                f"--set={told['label']}",
                f"--pg1-path={folder}/data",
                f"--lock-path={folder}/lock",
                f"--spool-path={folder}/spool",
                f"--tablespace-map-all={folder}/tablespaces",
                "--no-delta",
                "--archive-mode=off",
                "--type=name",
                f"--target={told['target']}",
                "--target-action=promote",
                f"--process-max={jobs}",
                timeout=timeout,
            )
            target = Target(told["target"], repository.restore_command(folder), connects=True)
            more = taken_over.of(receipt.get("settings", {}), programs)
            with recovered(folder, programs, receipt["bootstrap_role"], target, timeout, more) as scratch:
                yield scratch


def _need_this_cluster(repository: Repository, session: Session) -> None:
    here = server.identity(session)["system_identifier"]
    there = [str(one["system-id"]) for one in repository.info()["db"]]
    if not there or there[-1] != here:
        raise DatabaseError(
            f"the stanza {repository.stanza!r} belongs to the cluster {', '.join(there) or 'unknown'}, this cluster is"
            f" {here}; write this cluster's stanza as options.stanza"
        )


def _take(repository: Repository, work: Work) -> list[str]:
    """Take the backup. Warnings of damaged pages do not fail it here, because `info` reports them with file names."""
    known = (
        "WARN: invalid page checksum",
        "WARN: page misalignment",
        "WARN: incr backup",
        "WARN: diff backup",
        *HARMLESS,
    )
    said = strictly(
        run(
            repository.argv(
                "backup", f"--type={work.request.type}", f"--annotation={_ANNOTATION}={work.id}", "--no-expire-auto"
            )
        ),
        known,
    )
    return [line for line in said if line not in HARMLESS]


def _label(repository: Repository, name: str) -> str:
    found = [
        one["label"] for one in repository.info()["backup"] if (one.get("annotation") or {}).get(_ANNOTATION) == name
    ]
    if not found:
        raise DatabaseError(
            f"pgbackrest backup ended with status 0, but no backup in the repository has the annotation {name}"
        )
    return str(found[-1])


def _discard(repository: Repository, label: str) -> str:
    """Expire a damaged backup, which would count for pgBackRest's retention and replace a good one.

    Returns the result as a sentence.
    """
    # expire warns in any case, so look into the repository afterwards.
    with contextlib.suppress(DatabaseError):
        repository.do("expire", f"--set={label}")
    if label in [one["label"] for one in repository.info()["backup"]]:
        return (
            "It is still in the repository; when there is a good backup, type: pgbackrest"
            f" --stanza={repository.stanza} --set={label} expire"
        )
    return "It was removed from the repository; older backups are unchanged"


def _where(repository: Repository, taken: Mapping[str, Any]) -> dict[str, Any]:
    """Where the backup is, for the receipt."""
    labels = [*(taken.get("reference") or []), taken["label"]]
    root = repository.local()
    return {
        "program": repository.program,
        "config": repository.config,
        "stanza": repository.stanza,
        "label": taken["label"],
        "labels": labels,
        "type": taken["type"],
        "repository": root,
        "archive": repository.archive(taken),
        "first_segment": taken["archive"]["start"],
        "needs": (
            [os.path.join(root, "backup", repository.stanza, label, "backup.manifest") for label in labels]
            if root
            else []
        ),
    }


def _found(repository: Repository, restore: Mapping[str, Any]) -> dict[str, str]:
    """Every segment from the backup's beginning to the restore point; pgbackrest verify does not look for them."""
    wanted = wal.segments(restore["first_segment"], restore["last_segment"], restore["segment_bytes"])
    found = repository.segments(restore["archive"], wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DatabaseError(
            f"the archive has no {', '.join(missing[:5])}, which {restore['label']} needs to reach its restore point"
        )
    return found


def _archived(repository: Repository, restore: Mapping[str, Any], deadline: float) -> dict[str, str]:
    """Wait until the segments are in the archive."""
    until = time.monotonic() + max(deadline, 30)
    while True:
        try:
            return _found(repository, restore)
        except DatabaseError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)
