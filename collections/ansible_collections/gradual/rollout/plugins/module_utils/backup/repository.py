# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A repository of pgBackRest, by the program's own commands. Their output is checked, because the status is not enough.

With 2.45, `backup` ends with 0 although a page of the source is corrupt; `verify` ends with 0 although it prints
`status: error`, and prints ok although WAL that a backup needs is missing.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly

PROGRAM = "/usr/bin/pgbackrest"
CONFIG = "/etc/pgbackrest.conf"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
# Advice, and a full backup in place of an incremental one without a base.
HARMLESS = (
    "WARN: option 'repo1-retention-full' is not set",
    "WARN: no prior backup exists",
    "      HINT: to retain full backups indefinitely",
)
_LABEL = re.compile(r"\b\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?\b")
# A finished segment in the archive: its name, SHA-1 and compression. While it is written, it ends in .pgbackrest.tmp.
_ARCHIVED = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]{1,4})?\Z")
_VERIFIED = re.compile(r"^\s*backup: (\S+), status: (\S+?),", re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """One stanza of a repository, and the configuration file that names it."""

    program: str
    config: str
    stanza: str

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Repository:
        """From a request's options {stanza, config, program} or the same keys of a receipt."""
        stanza = options.get("stanza", "")
        if not _WORD.match(stanza):
            raise DatabaseError(
                f"options.stanza is the name of a pgBackRest stanza, got {stanza!r}; write for example options:"
                f" {{stanza:"
                " main}"
            )
        found = cls(options.get("program") or PROGRAM, options.get("config") or CONFIG, stanza)
        if not os.access(found.program, os.X_OK):
            raise DatabaseError(
                f"{found.program} cannot be run; install it on the database host (apt-get install pgbackrest), or write"
                " options.program"
            )
        if not os.access(found.config, os.R_OK):
            raise DatabaseError(
                f"this user cannot read pgBackRest's configuration {found.config}; write options.config, or let the"
                " user read it"
            )
        return found

    def argv(self, command: str, *options: str, console: str = "off") -> list[str]:
        return [
            self.program,
            f"--config={self.config}",
            f"--stanza={self.stanza}",
            "--log-level-file=off",
            f"--log-level-console={console}",
            "--log-level-stderr=warn",
            "--no-log-timestamp",
            command,
            *options,
        ]

    def do(self, command: str, *options: str, timeout: float | None = None) -> str:
        """Run a command and return its output; any unknown message is an error."""
        done = run(self.argv(command, *options), timeout=timeout)
        strictly(done, HARMLESS)
        return done.output

    def info(self, label: str | None = None) -> dict[str, Any]:
        """What `info` says of the stanza; an error when its status is not ok."""
        output = self.do("info", "--output=json", *([f"--set={label}"] if label else []))
        found = json.loads(output or "[]")
        status = found[0]["status"] if found else {"code": 1, "message": "no such stanza"}
        # 2: the stanza has no backup yet.
        if status["code"] not in (0, 2):
            raise DatabaseError(
                f"the stanza {self.stanza!r} in {self.config} is not usable: {status['message']}; see `pgbackrest info`"
            )
        told: dict[str, Any] = found[0]
        return told

    def backup(self, label: str) -> dict[str, Any]:
        """One backup; an error when it is missing or has pages with a wrong checksum."""
        found = next((one for one in self.info(label)["backup"] if one["label"] == label), None)
        if found is None:
            raise DatabaseError(
                f"the backup {label} is no longer in the repository of stanza {self.stanza!r}; take a new backup"
            )
        if found.get("error") or found.get("error-list"):
            raise DatabaseError(
                f"the backup {label} has pages with a wrong checksum in"
                f" {', '.join(found.get('error-list') or ['unknown files'])}: these files of the live cluster are"
                " damaged"
            )
        return dict(found)

    def archive(self, backup: Mapping[str, Any]) -> str:
        """The id of the archive that belongs to a backup: 15-1."""
        return str(
            next(one["id"] for one in self.info()["archive"] if one["database"]["id"] == backup["database"]["id"])
        )

    def segments(self, archive: str, wanted: Sequence[str]) -> dict[str, str]:
        """{segment: its path in the repository} of those that are in the archive."""
        found = {}
        for folder in sorted({name[:16] for name in wanted}):
            output = self.do("repo-ls", "--output=json", f"archive/{self.stanza}/{archive}/{folder}")
            for name, facts in json.loads(output or "{}").items():
                finished = _ARCHIVED.match(name)
                if finished and facts.get("size", 0) > 0:
                    found[finished[1]] = f"archive/{self.stanza}/{archive}/{folder}/{name}"
        return {name: found[name] for name in wanted if name in found}

    def verify(self, labels: Sequence[str], timeout: float) -> None:
        """Read and decode every file of the repository; an error when one is damaged or these backups were not read."""
        output = self.do("verify", "--output=text", "--verbose", timeout=timeout)
        lines = [line.strip() for line in output.split("\n") if line.strip()]
        states = dict(_VERIFIED.findall(output))
        bad = [f"{label} is {states.get(label, 'not mentioned')}" for label in labels if states.get(label) != "valid"]
        if bad or "status: ok" not in lines:
            raise DatabaseError(
                f"pgbackrest verify failed for the stanza {self.stanza!r}: {'; '.join([*bad, *lines[:12]])}"
            )

    def would_expire(self) -> list[str]:
        """Labels of the backups that pgBackRest's retention would remove now."""
        done = run(self.argv("expire", "--dry-run", console="info"))
        strictly(done, HARMLESS)
        return sorted(
            {
                label
                for line in done.output.split("\n")
                if "expire" in line and "backup" in line
                for label in _LABEL.findall(line)
            }
        )

    def local(self) -> str | None:
        """The repository's folder; None when it is not on this host."""
        parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        parser.read(self.config)
        told = {
            **(dict(parser["global"]) if parser.has_section("global") else {}),
            **(dict(parser[self.stanza]) if parser.has_section(self.stanza) else {}),
        }
        elsewhere = told.get("repo1-host") or told.get("repo1-type", "posix") not in ("posix", "cifs")
        path = str(told.get("repo1-path") or "/var/lib/pgbackrest")
        return None if elsewhere or not os.path.isdir(path) else path

    def sums(self, labels: Sequence[str], segments: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Bytes and SHA-256 of each file, by path below the repository; {} when the repository is on another host."""
        root = self.local()
        if root is None:
            return {}
        found = {}
        for label in labels:
            folder = f"backup/{self.stanza}/{label}"
            found.update(
                {f"{folder}/{name}": facts for name, facts in store.summed(os.path.join(root, folder)).items()}
            )
        for name in segments:
            path = os.path.join(root, name)
            found[name] = {"bytes": os.path.getsize(path), "sha256": store.sum_of(path)}
        return found

    def restore_command(self, folder: str) -> str:
        """restore_command of the throwaway cluster in `folder`; its locks are not the live cluster's."""
        words = [
            self.program,
            f"--config={self.config}",
            f"--stanza={self.stanza}",
            f"--pg1-path={folder}/data",
            f"--lock-path={folder}/lock",
            "--no-archive-async",
            "--log-level-file=off",
            "--log-level-stderr=warn",
            "archive-get",
        ]
        return " ".join(shlex.quote(word).replace("%", "%%") for word in words) + ' %f "%p"'
