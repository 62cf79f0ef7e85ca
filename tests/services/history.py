"""A real Prometheus that remembers what a test wants it to have scraped: history is written as blocks by promtool, so
nobody waits for it."""

from __future__ import annotations

import collections.abc
import contextlib
import http.client
import math
import pathlib
import random
import shutil
import socket
import subprocess
import time
import typing as t

import pytest

START = 1_780_000_000
"""When every history begins, seconds since the epoch."""

MARKS = ("up", "missed", "asleep")

Labels = dict[str, str]
Change = collections.abc.Callable[[int], dict[str, float] | None]


def needs(*programs: str) -> None:
    """Fail, rather than skip, where a service is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: apt-get install prometheus haproxy")


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to clients: a load must not take it before its
    server starts."""
    for _attempt in range(100):
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port from 20000 to 32000")


def wait_ready(port: int, path: str | None, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Until it answers 200 at `path`; without one, until it accepts connections."""
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            if path is None:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"a service did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def prometheus(folder: pathlib.Path, scrape: str = "", web: str = "") -> t.Iterator[str]:
    """The address of a Prometheus on the blocks in folder/data; `scrape` is YAML for scrape_configs.

    web: its web configuration, with which it answers over https and to whom it wants.
    """
    needs("prometheus")
    port, log = free_port(), folder / "prometheus.log"
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n" + scrape)
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=50y",
    ]
    if web:
        (folder / "web.yml").write_text(web)
        command.append(f"--web.config.file={folder}/web.yml")
    with log.open("wb") as output:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=output)
    try:
        wait_ready(port, None if web else "/-/ready", process, log)
        yield f"{'https' if web else 'http'}://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class History:
    """Samples to be remembered, one scrape a second, scenario by scenario; each scenario is a job."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def host(
        self,
        job: str,
        host: str,
        change: Change,
        seconds: int,
        first: dict[str, float] | None = None,
        shift: float = 0.0,
    ) -> None:
        """Remember one host: `change` gives for each second what its counters grow by, keyed by name and labels as in
        the text format.

        A host that does nothing and cannot be scraped is None. The key "up" of 0 marks a restart: all counters begin
        anew. With the key
        "missed" the counters grow, but the scrape fails; with "asleep" Prometheus does not even try. A counter that
        grows by NaN is no number
        at this scrape. All counters are born at 0.
        """
        values = dict.fromkeys(first if first is not None else change(0) or {}, 0.0)
        values.update(first or {})
        values = {key: value for key, value in values.items() if key not in MARKS}
        for second in range(seconds):
            grown = change(second)
            at = START + second + shift
            if grown is None or "asleep" not in grown:
                self._add(
                    "up",
                    {"job": job, "host": host, "instance": f"{host}:8080"},
                    0 if grown is None or "missed" in grown else 1,
                    at,
                )
            if grown is None:
                continue
            if grown.get("up") == 0:
                values = dict.fromkeys(values, 0.0)
            for key, by in grown.items():
                if key not in MARKS and not math.isnan(by):
                    values[key] = values.get(key, 0.0) + by
            if "asleep" in grown or "missed" in grown:
                continue
            for key, value in (values | {key: by for key, by in grown.items() if math.isnan(by)}).items():
                name, _brace, rest = key.partition("{")
                labels = f'{{job="{job}",host="{host}",instance="{host}:8080"' + (f",{rest}" if rest else "}")
                self.lines.append(f"{name}{labels} {value:g} {at:.3f}")

    def _add(self, name: str, labels: Labels, value: float, at: float) -> None:
        inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
        self.lines.append(f"{name}{{{inside}}} {value:g} {at:.3f}")

    def write(self, folder: pathlib.Path) -> None:
        """Turn it into blocks under folder/data."""
        needs("promtool")
        (folder / "history.txt").write_text("\n".join([*self.lines, "# EOF", ""]))
        command = [
            "promtool",
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--quiet",
            str(folder / "history.txt"),
            str(folder / "data"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def arm(feature: str, variant: str, requests: float, errors: float = 0.0, slow: float = 0.0) -> dict[str, float]:
    """What the counters of one feature and variant grow by, named as the application contract has them."""
    labels = f'feature="{feature}",variant="{variant}"'
    fast = requests - slow
    return {
        f'feature_requests_total{{{labels},outcome="ok"}}': requests - errors,
        f'feature_requests_total{{{labels},outcome="error"}}': errors,
        f'feature_request_duration_seconds_bucket{{{labels},le="0.25"}}': fast,
        f'feature_request_duration_seconds_bucket{{{labels},le="0.5"}}': fast,
        f'feature_request_duration_seconds_bucket{{{labels},le="1.0"}}': requests,
        f'feature_request_duration_seconds_bucket{{{labels},le="+Inf"}}': requests,
        f"feature_request_duration_seconds_count{{{labels}}}": requests,
        f"feature_request_duration_seconds_sum{{{labels}}}": 0.05 * fast + 0.8 * slow,
    }
