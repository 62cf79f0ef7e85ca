# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Make a host run another release, and know that it does: switch the link, restart the unit, wait until it is ready
and says itself that it is this release. A unit that fails is noticed at once, not when the time is up."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Sequence
from urllib.parse import urlsplit

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import failure_of, probe_all
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store
from ansible_collections.gradual.rollout.plugins.module_utils.release import systemd

STEP = 0.2


class SwitchError(Exception):
    """Why the release does not run; `journal` holds the unit's last lines."""

    def __init__(self, message: str, journal: list[str]) -> None:
        super().__init__(message)
        self.journal = journal


@dataclass
class Aim:
    """How to run a release and how to see that it runs: unit (None: nothing is restarted), ready_url and version_url
    (None: not asked), and the seconds it may take to become ready."""

    root: str
    unit: str | None = None
    ready_url: str | None = None
    version_url: str | None = None
    timeout: float = 40.0


def runs(release: dict[str, Any], aim: Aim, run: systemd.Run) -> bool:
    """Whether the host is switched to the release and, as far as can be seen, really runs it."""
    now = release_store.linked(aim.root, "current")
    if now is None or now["directory"] != release["directory"]:
        return False
    if aim.unit and not systemd.settled(run, aim.unit):
        return False
    return _wrong(release, aim) is None


def switch(release: dict[str, Any], aim: Aim, run: systemd.Run, back: bool = False) -> None:
    """Switch, restart, wait. SwitchError when it does not become what it should; nothing is taken back then.

    ROOT/previous is set to what users had until now. With `back` it stays as it is: what is switched away from is no
    release to go back to.
    """
    now = release_store.linked(aim.root, "current")
    if now is None or now["directory"] != release["directory"]:
        try:
            if now is not None and back:
                release_store.withdraw(now)
            elif now is not None and release_store.is_admitted(now):
                release_store.switch(aim.root, "previous", now["directory"])
            release_store.switch(aim.root, "current", release["directory"])
            os.utime(os.path.join(release["directory"], release_store.NOTE))
        except OSError as error:
            raise SwitchError(_unswitchable(aim.root, error), []) from error
    began = time.time()
    if aim.unit:
        systemd.restart(run, aim.unit)
    _wait(release, aim, run, began)


def smoke_test(release: dict[str, Any], ready_url: str, probes: Sequence[dict[str, Any]]) -> None:
    """Send the probes to the origin of ready_url. SwitchError when one of them fails."""
    origin = origin_of(ready_url)
    try:
        with Session(origin) as session:
            failure = failure_of(probe_all(session, list(probes), {}), origin)
    except HttpError as error:
        failure = str(error)
    if failure:
        raise SwitchError(f"Release {release['version']} runs, but {failure}", [])


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_stopped(aim: Aim, run: systemd.Run) -> bool:
    """Whether nothing runs, and no link leads to a release that runs or could run by it."""
    if release_store.link_kind(aim.root, "current") != "missing" or _goes(aim.root):
        return False
    shown = systemd.properties(run, aim.unit) if aim.unit else {}
    return shown.get("ActiveState") in (None, "inactive") and shown.get("Job") in (None, "", "0")


def stop(aim: Aim, run: systemd.Run) -> None:
    """Stop the unit, then remove ROOT/current, and ROOT/previous unless users had what it leads to. SwitchError when
    the unit does not stop."""
    kind, now = release_store.link_kind(aim.root, "current"), release_store.linked(aim.root, "current")
    if kind in ("directory", "file"):
        raise SwitchError(
            f"{aim.root}/current is a {kind} and no link, so it was not made by Gradual and is left alone; stop the"
            " unit and move it away",
            [],
        )
    if aim.unit:
        began = time.time()
        systemd.stop(run, aim.unit)
        state = systemd.active_state(run, aim.unit)
        if state not in (None, "inactive"):
            raise SwitchError(
                f"{aim.unit} is {state} still after it was told to stop; look at: systemctl status {aim.unit}",
                systemd.journal(run, aim.unit, began),
            )
    try:
        if now is not None:
            release_store.withdraw(now)
        release_store.unlink(aim.root, "current")
        if _goes(aim.root):
            release_store.unlink(aim.root, "previous")
    except OSError as error:
        raise SwitchError(_unswitchable(aim.root, error), []) from error


def _goes(root: str) -> bool:
    """Whether ROOT/previous leads to a release that users never had."""
    previous = release_store.linked(root, "previous")
    return previous is not None and not release_store.is_admitted(previous)


def _unswitchable(root: str, error: OSError) -> str:
    for link in ("current", "previous"):
        kind = release_store.link_kind(root, link)
        if kind in ("directory", "file"):
            return (
                f"{root}/{link} is a {kind}, and must be a link to a release below {root}/releases; move it away: mv"
                f" {root}/{link} {root}/{link}.old"
            )
    return (
        f"the links in {root} cannot be written: {error.strerror or error}; look at: findmnt --target {root}, df"
        f" {root}, df -i {root}"
    )


def _wait(release: dict[str, Any], aim: Aim, run: systemd.Run, began: float) -> None:
    until = time.monotonic() + aim.timeout
    while True:
        shown = systemd.properties(run, aim.unit) if aim.unit else {}
        failure = systemd.trouble(shown) if aim.unit else None
        up = not aim.unit or shown.get("ActiveState") == "active"
        wrong = _wrong(release, aim) if up else f"the unit is {shown.get('ActiveState', 'unknown')} still"
        if wrong is None:
            return
        if failure is None and time.monotonic() > until:
            failure = f"not in time, {aim.timeout:g} s: {wrong}"
        if failure is not None:
            lines = systemd.journal(run, aim.unit, began) if aim.unit else []
            said = "\nIts journal says last:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
            raise SwitchError(f"Release {release['version']} does not run: {failure}.{said}", lines)
        time.sleep(STEP)


def _wrong(release: dict[str, Any], aim: Aim) -> str | None:
    """What the application says that it should not say; None when all is well."""
    if aim.ready_url:
        status, text, _content = _ask(aim.ready_url)
        if status != 200:
            return f"{aim.ready_url} answers {status or 'nothing'}{': ' + text if text else ''}"
    if aim.version_url:
        status, text, content = _ask(aim.version_url)
        if not isinstance(content, dict) or "digest" not in content:
            return f"{aim.version_url} answers {status or 'nothing'}{': ' + text if text else ''}"
        if content["digest"] != release["digest"]:
            said = f"{content.get('release')} ({str(content['digest'])[:12]})"
            return f"{aim.version_url} says that it is {said} and not {release['version']} ({release['digest'][:12]})"
    return None


def _ask(url: str) -> tuple[int | None, str, Any]:
    """Status (None: no answer), an excerpt of the text, and the JSON if it is some."""
    parts = urlsplit(url)
    try:
        with Session(origin_of(url), timeout=3) as session:
            answer = session.get((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    except HttpError as error:
        return None, str(error), None
    try:
        content: Any = answer.json()
    except ValueError:
        content = None
    return answer.status, " ".join(answer.text.split())[:200], content
