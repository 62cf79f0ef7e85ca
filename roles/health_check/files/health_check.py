#!/usr/bin/python3
"""Asks the front door as a user would, and each application host directly; leaves the answers to the node exporter.

The file is put in place by rename, so that a scrape never reads half of it. It is written whatever was found: a failed
check is a value of 0. A check that did not run leaves an old time in it, and that is what HealthCheckStale looks at.

A site that waits for its first release has nothing to check: as long as no check has ever passed, none is reported as
failed,
and gradual_health_check_release_seen says 0. The first check that passes ends that for good; the file itself remembers
it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Counted apart from the requests of users.
OWN = {"X-Gradual-Probe": "1"}


PASSED = "gradual_health_check_passed"
SEEN = "gradual_health_check_release_seen"


@dataclass(frozen=True)
class Result:
    """target: front_door or a host. reason: empty when it passed."""

    target: str
    check: str
    seconds: float
    reason: str


def ask(url: str, context: ssl.SSLContext | None, timeout: float, contains: str = "") -> tuple[float, str]:
    """Seconds and the reason why the answer is not good, or an empty one."""
    began = time.monotonic()
    try:
        request = urllib.request.Request(url, headers=OWN)
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            body = answer.read(1_000_000).decode(errors="replace")
        reason = "" if contains in body else f"{contains!r} is not in the answer"
    except urllib.error.HTTPError as error:
        reason = f"status {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
    return time.monotonic() - began, reason


def check(settings: dict[str, Any]) -> list[Result]:
    """Every check once, one after the other."""
    slow = float(settings["slow_seconds"])
    door = settings["front_door"]
    context = ssl.create_default_context(cafile=door["ca_path"])
    asked = [
        ("front_door", probe["name"], door["url"] + probe["path"], context, probe.get("contains", ""))
        for probe in door["probes"]
    ]
    asked += [
        (host, path.strip("/"), url + path, None, "")
        for host, url in settings["hosts"].items()
        for path in settings["host_paths"]
    ]
    results = []
    for target, name, url, tls, contains in asked:
        seconds, reason = ask(url, tls, slow + 3, contains)
        if not reason and seconds > slow:
            reason = f"took {seconds:.1f} s, more than {slow} s"
        results.append(Result(target, name, seconds, reason))
    return results


def release_seen(results: list[Result], before: str) -> bool:
    """Whether there is, or ever was, something to check; before: what the last run wrote."""
    return any(not result.reason for result in results) or f"\n{SEEN} 1\n" in before or f"\n{PASSED}{{" in before


def exposition(results: list[Result], now: float, seen: bool = True) -> str:
    """The results in Prometheus' text format; without a release there are none."""
    results = results if seen else []

    def labels(result: Result) -> str:
        return (
            "{"
            + ",".join(
                f'{key}="{escape(value)}"' for key, value in (("target", result.target), ("check", result.check))
            )
            + "}"
        )

    text = [
        f"# HELP {SEEN} Whether any check has ever passed; 0 on a site that waits for its first release.",
        f"# TYPE {SEEN} gauge",
        f"{SEEN} {int(seen)}",
    ]
    text += [f"# HELP {PASSED} Whether the check passed when it last ran.", f"# TYPE {PASSED} gauge"]
    text += [f"{PASSED}{labels(result)} {int(not result.reason)}" for result in results]
    text += [
        "# HELP gradual_health_check_seconds How long the answer took.",
        "# TYPE gradual_health_check_seconds gauge",
    ]
    text += [f"gradual_health_check_seconds{labels(result)} {result.seconds:.6f}" for result in results]
    text += [
        "# HELP gradual_health_check_last_run_timestamp_seconds When the check last ran to its end.",
        "# TYPE gradual_health_check_last_run_timestamp_seconds gauge",
        f"gradual_health_check_last_run_timestamp_seconds {now:.3f}",
    ]
    return "\n".join(text) + "\n"


def escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    results = check(json.loads(options.settings.read_text(encoding="utf-8")))
    try:
        before = options.output.read_text(encoding="utf-8")
    except FileNotFoundError:
        before = ""
    seen = release_seen(results, before)
    beside = options.output.with_suffix(".new")
    beside.write_text(exposition(results, time.time(), seen), encoding="utf-8")
    os.chmod(beside, 0o644)
    beside.replace(options.output)
    if not seen:
        print("no release has been seen here yet, so there is nothing to check", file=sys.stderr)
    for result in results if seen else []:
        print(
            f"{result.target} {result.check}: {result.reason or 'good'} ({result.seconds * 1000:.0f} ms)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
