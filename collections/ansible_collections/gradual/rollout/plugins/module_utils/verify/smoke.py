# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Start a release beside the live one, on a throwaway copy of the database, and run its smoke tests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import IO, Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Session as Browser
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import probe_all, sentence
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    clean_environment,
    credentials,
    die_with_parent,
)

READY_SECONDS = 40.0
_STOP_SECONDS = 10


def try_release(release: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Start it, wait until it is ready, probe it, stop it. {"ready_seconds", "seconds", "probes": [{name, seconds}]}.

    release: {directory, command: argv, probes, run_as}, and optionally ready (path), timeout (s) and probes_from (whose
    probes these are, such as "of the manifest of 2.0.0"). variables: its environment, with the copy's address.
    DatabaseError when it does not become ready or a probe fails.
    """
    begun = time.monotonic()
    with _started(release, variables) as (process, base, printed):
        try:
            _wait_until_ready(
                process, base + str(release.get("ready") or "/readyz"), float(release.get("timeout") or READY_SECONDS)
            )
            ready = round(time.monotonic() - begun, 3)
            with Browser(base, timeout=10) as browser:
                results = probe_all(browser, list(release["probes"]), {}, attempts=2)
        except DatabaseError as error:
            raise DatabaseError(f"{error}{_last_words(printed, variables)}") from None
        failed = [sentence(one) for one in results if not one["passed"]]
        if failed:
            whose = release.get("probes_from") or "of the given ones"
            raise DatabaseError(
                f"it failed {len(failed)} of {len(results)} smoke tests {whose}:"
                f" {'; '.join(failed[:3])}{_last_words(printed, variables)}"
            )
    return {
        "ready_seconds": ready,
        "seconds": round(time.monotonic() - begun, 3),
        "probes": [{"name": one["name"], "seconds": one["seconds"]} for one in results],
    }


@contextlib.contextmanager
def _started(
    release: Mapping[str, Any], variables: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str, IO[bytes]]]:
    """The running release, its address and its output. It and its children are stopped at the end of the block."""
    user = credentials(str(release.get("run_as") or "nobody") if os.geteuid() == 0 else None)
    folder = tempfile.mkdtemp(prefix="gradual-smoke-")
    if user:
        os.chown(folder, user["user"], user["group"])
    port = _free_port()
    command = [str(word) for word in release["command"]]
    command[0] = os.path.join(str(release["directory"]), command[0])
    try:
        with tempfile.TemporaryFile() as printed:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=str(release["directory"]),
                    env=_environment(variables, folder, port),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 (a module has no threads)
                    **user,
                )
            except OSError as error:
                raise DatabaseError(f"{command[0]} cannot be run: {error.strerror}") from None
            try:
                yield process, f"http://127.0.0.1:{port}", printed
            finally:
                _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(variables: Mapping[str, str], folder: str, port: int) -> dict[str, str]:
    """The service's environment as far as it is known: one worker, on the loopback, every feature off."""
    flags = os.path.join(folder, "flags.json")
    with open(flags, "w", encoding="utf-8") as file:
        json.dump({"flags": {}}, file)
    os.chmod(flags, 0o644)
    return {
        **clean_environment(),
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SESSION_KEY": secrets.token_hex(32),
        "FLAGS_FILE": flags,
        "WORKERS": "1",
        **variables,
        "HOME": folder,
        "TMPDIR": folder,
        "RUNTIME_DIRECTORY": folder,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
    }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, timeout: float) -> None:
    base, _slash, path = url.partition("//")[2].partition("/")
    until = time.monotonic() + timeout
    seen = "it does not listen"
    with Browser(f"http://{base}", timeout=5) as browser:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise DatabaseError(f"it ended with status {process.returncode} before it was ready")
            try:
                answer = browser.get("/" + path)
                if answer.status == 200:
                    return
                seen = f"/{path} answers {answer.status}: {' '.join(answer.text.split())[:200]}"
            except HttpError as error:
                seen = str(error)
            time.sleep(0.1)
    raise DatabaseError(f"it did not become ready within {timeout:.0f} s ({seen})")


def _last_words(printed: IO[bytes], variables: Mapping[str, str]) -> str:
    printed.seek(0)
    lines = [line.strip() for line in printed.read().decode(errors="replace").splitlines() if line.strip()]
    return dsn.scrubbed(f"; last output: {' / '.join(lines[-4:])}"[:600], dsn.secrets(variables)) if lines else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the release and its children: SIGTERM first, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
