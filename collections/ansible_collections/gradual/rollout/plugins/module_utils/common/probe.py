# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Smoke tests over HTTP: a probe says what to ask and what must come back.

A probe is {name, path, method, headers, body, user, user_key, status, contains, json}; `json` maps dotted paths to
values.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import quote

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer, HttpError, Session

ABSENT = "absent"
# Where an application reads who the user is: `cookie NAME` or `header NAME`.
USER_KEY = "cookie visitor"
# The option of the modules that take probes; doc_fragments/probes.py describes it.
ARGUMENT: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str"},
        "path": {"type": "str", "required": True},
        "method": {"type": "str", "default": "GET"},
        "headers": {"type": "dict", "default": {}},
        "body": {"type": "raw"},
        "user": {"type": "str"},
        "user_key": {"type": "str", "default": USER_KEY, "no_log": False},
        "status": {"type": "int", "default": 200},
        "contains": {"type": "str"},
        "json": {"type": "dict"},
        "flag": {"type": "str", "choices": ["on", "off"]},
    },
}
ASCII = "".join(chr(code) for code in range(33, 127))  # a path is sent as it is written, but for what no path can hold


def user_header(user_key: str, user: str) -> dict[str, str]:
    """The header that makes a request one of this user's. HttpError if user_key is not `cookie NAME` or `header
    NAME`."""
    kind, _space, name = user_key.partition(" ")
    if kind not in ("cookie", "header") or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise HttpError(f"user_key is {user_key!r}; write cookie NAME or header NAME")
    value = quote(user, safe="")
    return {"Cookie": f"{name}={value}"} if kind == "cookie" else {name: value}


def request_of(probe: dict[str, Any], headers: dict[str, str]) -> tuple[str, str, dict[str, str], bytes | None]:
    """method, path, headers and body that a probe asks with; `headers` go with every probe, its own win."""
    known = {**headers, **{str(key): str(value) for key, value in (probe.get("headers") or {}).items()}}
    body = probe.get("body")
    content: bytes | None = None
    if body is not None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        if not isinstance(body, str) and "content-type" not in {key.lower() for key in known}:
            known["Content-Type"] = "application/json"
    if probe.get("user"):
        known.update(user_header(str(probe.get("user_key") or USER_KEY), str(probe["user"])))
    return str(probe.get("method") or "GET").upper(), quote(str(probe["path"]), safe=ASCII), known, content


def lookup(value: Any, path: str) -> Any:
    """The value at a dotted path (numbers index lists), ABSENT when there is none. A key with dots in it is found
    too."""
    if path == "":
        return value
    head, _dot, rest = path.partition(".")
    while True:
        inner = _entry(value, head)
        found = lookup(inner, rest) if inner is not ABSENT else ABSENT
        if found is not ABSENT or not rest:
            return found
        more, _dot, rest = rest.partition(".")
        head = f"{head}.{more}"


def _entry(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, ABSENT)
    if isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
        return value[int(key)]
    return ABSENT


def same(seen: Any, wanted: Any) -> bool:
    """Equal, where 1 and true are not, and text that a template made of a number or boolean is that number or
    boolean."""
    if isinstance(seen, bool) or isinstance(wanted, bool):
        return seen is wanted or str(seen).lower() == str(wanted).lower()
    if isinstance(wanted, str) and isinstance(seen, (int, float)):
        return str(seen) == wanted
    return bool(seen == wanted)


def judge(probe: dict[str, Any], answer: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the probe wants and what was seen of that; equal keys, and equal values when it passed."""
    wanted: dict[str, Any] = {"status": int(probe.get("status") or 200)}
    seen: dict[str, Any] = {"status": answer.status}
    if probe.get("contains"):
        text = str(probe["contains"])
        wanted["contains"] = text
        seen["contains"] = text if text in answer.text else _excerpt(answer.text)
    if probe.get("json"):
        try:
            content: Any = answer.json()
        except ValueError:
            wanted["json"], seen["json"] = "JSON", _excerpt(answer.text)
            return wanted, seen
        for path, value in probe["json"].items():
            found = lookup(content, str(path))
            wanted[f"json.{path}"] = value
            seen[f"json.{path}"] = value if same(found, value) else found
    return wanted, seen


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:197] + "..."


def probe_once(session: Session, probe: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """One result: {name, passed, seen, wanted, seconds, status}."""
    name, began = str(probe.get("name") or probe["path"]), time.monotonic()
    try:
        answer = session.request(*request_of(probe, headers))
    except HttpError as error:
        wanted = {"status": int(probe.get("status") or 200)}
        return {
            "name": name,
            "passed": False,
            "seen": {"error": str(error)},
            "wanted": wanted,
            "seconds": round(time.monotonic() - began, 3),
            "status": None,
        }
    wanted, seen = judge(probe, answer)
    return {
        "name": name,
        "passed": seen == wanted,
        "seen": seen,
        "wanted": wanted,
        "seconds": round(answer.seconds, 4),
        "status": answer.status,
    }


def probe_all(
    session: Session,
    probes: list[dict[str, Any]],
    headers: dict[str, str],
    attempts: int = 1,
    pause: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """A result for each probe, over one connection; a probe that fails is tried again, `attempts` times in all."""
    results = []
    for probe in probes:
        for attempt in range(1, max(1, attempts) + 1):
            result = {**probe_once(session, probe, headers), "attempts": attempt}
            if probe.get("flag"):
                result["flag"] = probe["flag"]
            if result["passed"] or attempt == attempts:
                break
            sleep(pause)
        results.append(result)
    return results


def sentence(result: Mapping[str, Any]) -> str:
    """What went wrong with one probe, in a line."""
    if "error" in result["seen"]:
        return f"{result['name']}: {result['seen']['error']}"
    parts = [
        f"{key} is {json.dumps(result['seen'].get(key), ensure_ascii=False)} and not"
        f" {json.dumps(value, ensure_ascii=False)}"
        for key, value in result["wanted"].items()
        if result["seen"].get(key) != value
    ]
    return f"{result['name']}: {', '.join(parts)}"


def failure_of(results: Sequence[Mapping[str, Any]], base_url: str) -> str | None:
    """Which probes failed, what was seen and what was wanted, in a sentence; None if all passed."""
    failed = [result for result in results if not result["passed"]]
    if not failed:
        return None
    return f"{len(failed)} of {len(results)} probes of {base_url} failed: {'; '.join(map(sentence, failed))}"
