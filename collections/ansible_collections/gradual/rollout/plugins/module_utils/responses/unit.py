# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The unit on the monitoring host: takes Alertmanager's deliveries, decides, acts, then records.

Users come first: what cannot be kept or recorded is told in the journal and recorded later; it stops no response."""

from __future__ import annotations

import hmac
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.common import files
from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_result import summary
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError
from ansible_collections.gradual.rollout.plugins.module_utils.responses import hosts, ledger
from ansible_collections.gradual.rollout.plugins.module_utils.responses.decide import (
    Alert,
    Decision,
    NoDelivery,
    decide,
    firing_alerts,
    is_news,
    kept,
    record,
)
from ansible_collections.gradual.rollout.plugins.module_utils.responses.table import rows

BY = "gradual-responses"
# Bytes of a delivery.
LARGEST = 4 << 20
# Seconds to wait for the ledger: before a response, which must not wait long, and after it.
ASK_PATIENCE = 2.0
RECORD_PATIENCE = 15.0
# Seconds between two tries to record what could not be recorded.
RECORD_AGAIN = 30.0
# Seconds that a host gets beyond its verification, for the connection and the start of Python.
MARGIN = 7.0
# Events that wait for a ledger that cannot be written.
WAITING = 500


def say(text: str) -> None:
    """A line in the journal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Responder:
    """One response at a time. settings: what roles/responses writes."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings, self.table = settings, rows(settings["table"])
        self._acting, self._recording = threading.Lock(), threading.Lock()
        self._past: list[Mapping[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._remember()

    def deliver(self, body: Any) -> list[Mapping[str, Any]]:
        """Respond to a delivery; returns what is new. NoDelivery when it is no delivery of Alertmanager."""
        alerts = firing_alerts(body)
        with self._acting:
            found = [response for alert in alerts if (response := self._respond(alert))]
        self.record_waiting()
        return found

    def record_waiting(self) -> None:
        """Record in the ledger what is not yet recorded there; kept if that fails."""
        with self._recording:
            if not self._waiting:
                return
            events = list(self._waiting)
            try:
                ledger.ask(self.settings["ledger"], {"events": events}, RECORD_PATIENCE)
            except LedgerError as error:
                say(f"not recorded in the ledger yet, {len(events)} events wait: {error}")
                return
            del self._waiting[: len(events)]
            self._keep()

    def _respond(self, alert: Alert) -> Mapping[str, Any] | None:
        now = time.time()
        decision = decide(alert, self.table, self._past, now, self._hold())
        if decision is not None and decision.outcome == "act":
            known = self._known(decision)
            decision = decide(alert, self.table, self._past, now, self._hold(), known.get("rollout"))
        if decision is None:
            return None
        if decision.outcome != "act":
            response = record(decision, now, decision.outcome)
        elif decision.row.action == "tell":
            response = record(decision, now, "told", told=known.get("drained") or "the ledger does not answer")
        else:
            response = self._kill(decision, now)
        if not is_news(response, self._past):
            return None
        self._past = [*kept(self._past, now), response]
        self._wait(_events(response))
        say(_line(response))
        return response

    def _kill(self, decision: Decision, now: float) -> dict[str, Any]:
        flag, alert = decision.subject, decision.alert
        reason = f"{alert.name} fires since {alert.starts[:19]}"
        request = {"flag": flag, "by": BY, "reason": reason, "at": now}
        commands = {host: hosts.argv(address, self.settings["ssh"]) for host, address in self.settings["hosts"].items()}
        results = hosts.ask_all(commands, request, self.settings["seconds"] + MARGIN)
        done = summary(flag, results, killing=True)
        missing = done["unknown"] and not (done["hosts"] or done["unverified"] or done["lost"])
        outcome = "wrong" if missing else "failed" if done["unverified"] or done["lost"] else "done"
        told = {key: done[key] for key in ("hosts", "unverified", "lost", "mark", "problem")}
        return record(decision, now, outcome, seconds=round(time.time() - now, 3), **told)

    def _known(self, decision: Decision) -> dict[str, Any]:
        try:
            return ledger.ask(self.settings["ledger"], {"ask": {"server": decision.subject}}, ASK_PATIENCE)
        except LedgerError as error:
            say(f"the response does not wait for the ledger: {error}")
            return {}

    def _hold(self) -> str:
        """Why responses are on hold, empty if they are not. A file that cannot be read holds."""
        try:
            with open(self.settings["hold"], encoding="utf-8", errors="replace") as stream:
                return " ".join(stream.read(400).split()) or "no reason given"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self.settings['hold']} cannot be read: {error.strerror}"

    def _wait(self, events: list[dict[str, Any]]) -> None:
        with self._recording:
            self._waiting = [*self._waiting, *events][-WAITING:]
            self._keep()

    def _keep(self) -> None:
        try:
            files.replace(self.settings["state"], json.dumps({"past": self._past, "waiting": self._waiting}))
        except OSError as error:
            say(f"{self.settings['state']} cannot be written: {error.strerror}; a restart would forget this response")

    def _remember(self) -> None:
        try:
            with open(self.settings["state"], encoding="utf-8") as stream:
                found = json.load(stream)
            self._past, self._waiting = list(found["past"]), list(found["waiting"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"{self.settings['state']} cannot be read, so past responses are not known: {error}")


def _events(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A response as the ledger has it. A kill is told as kill.yml tells it, too, so deploy, rollback and report know
    it."""
    answered = {key: value for key, value in response.items() if key not in ("mark", "problem")}
    events = [{"event": "alert.answered", "data": answered}]
    if response.get("mark"):
        names = ("hosts", "unverified", "lost")
        killed = {"flag": response["subject"], **response["mark"], **{name: response[name] for name in names}}
        events.insert(0, {"event": "flag.killed", "data": killed})
    return events


def _line(response: Mapping[str, Any]) -> str:
    what = f"{response['alert']}: {response['action']} {response['subject']}: {response['outcome']}"
    more = response.get("problem") or response.get("told") or response["reason"]
    if response["outcome"] == "done":
        more = f"off on {', '.join(response['hosts'])} after {response['seconds']:.1f} s"
    return f"{what}. {more}. Read {response['page'] or 'docs/responses.md'}"


def handler(responder: Responder, token: str) -> type[BaseHTTPRequestHandler]:
    """Answers 200 when a delivery has been responded to, else 401, 413 or 400."""

    class Webhook(BaseHTTPRequestHandler):
        server_version = "gradual"
        sys_version = ""
        timeout = 10

        def do_POST(self) -> None:
            given = self.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                return self.answer(401)
            try:
                length = int(self.headers.get("Content-Length", ""))
                if not 0 < length <= LARGEST:
                    return self.answer(413)
                responder.deliver(json.loads(self.rfile.read(length)))
            except (NoDelivery, ValueError, RecursionError) as error:
                say(f"refused a delivery: {type(error).__name__}")
                return self.answer(400)
            return self.answer(200)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            if int(getattr(code, "value", code)) >= 300:
                super().log_request(code, size)

    return Webhook


def serve(path: str) -> None:
    """Serve for ever with the settings at `path`."""
    with open(path, encoding="utf-8") as stream:
        settings = json.load(stream)
    with open(settings["token"], encoding="utf-8") as stream:
        token = stream.read().strip()
    if not token:
        raise SystemExit("the token is empty: without a token anybody on this host could turn features off")
    responder = Responder(settings)

    def again() -> None:
        while True:
            responder.record_waiting()
            time.sleep(RECORD_AGAIN)

    threading.Thread(target=again, daemon=True).start()
    host, _colon, port = settings["listen"].rpartition(":")
    ThreadingHTTPServer((host, int(port)), handler(responder, token)).serve_forever()
