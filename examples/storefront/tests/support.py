"""Runs artifacts as a host would, on a PostgreSQL of the tests' own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import psycopg

STOREFRONT = Path(__file__).resolve().parent.parent
POSTGRESQL = Path("/usr/lib/postgresql/15/bin")
APPLICATION_PASSWORD = "only-for-the-tests"
SESSION_KEY = "a key of the tests, long enough to be accepted"
FEATURES = ("search", "recommendations", "express-checkout")


def python311() -> str:
    """The interpreter that artifacts are made for."""
    candidates = [sys.executable] if sys.version_info[:2] == (3, 11) else []
    found = next(filter(None, (*candidates, shutil.which("python3.11"))), None)
    assert found, "artifacts are for Python 3.11: apt-get install python3 on Debian 12, or put a python3.11 into PATH"
    return os.path.realpath(found)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to clients: none of them takes it before its server starts."""
    for _attempt in range(100):
        port = random.randint(20_000, 32_000)
        with socket.socket() as chosen, contextlib.suppress(OSError):
            chosen.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port from 20000 to 32000")


def wait_for(what: str, seen: Callable[[], Any], seconds: float = 15.0, pause: float = 0.05) -> Any:
    """Poll until `seen()` is true; return it. Fails with the last thing seen."""
    until = time.monotonic() + seconds
    while True:
        last = seen()
        if last:
            return last
        assert time.monotonic() < until, f"{what}: not within {seconds} s, last seen {last!r}"
        time.sleep(pause)


class Cluster:
    """A throw-away PostgreSQL 15."""

    def __init__(self, directory: Path) -> None:
        assert POSTGRESQL.is_dir(), f"{POSTGRESQL} is missing: apt-get install postgresql-15"
        self.directory = directory
        self.port = free_port()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
        self._program("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--locale=C.UTF-8")
        with open(directory / "data" / "postgresql.conf", "a") as file:
            file.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{directory}'\nfsync = off\n")
        self.start()
        self.run("postgres", "CREATE ROLE storefront_owner", f"CREATE ROLE storefront_app LOGIN PASSWORD '{APPLICATION_PASSWORD}'")

    def _program(self, name: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", self.user, "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_user, POSTGRESQL / name, "-D", self.directory / "data", *arguments],
            check=False, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stdout}"

    def start(self) -> None:
        # The server inherits pg_ctl's output, so it must not be our pipe.
        self._program("pg_ctl", "start", "-w", "-l", str(self.directory / "log"))

    def stop(self) -> None:
        self._program("pg_ctl", "stop", "-m", "fast", "-w")

    def url(self, database: str, user: str = "postgres") -> str:
        password = f":{APPLICATION_PASSWORD}" if user == "storefront_app" else ""
        return f"postgresql://{user}{password}@127.0.0.1:{self.port}/{database}"

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Rows of the last statement, as superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def create(self, name: str, template: str = "template1") -> str:
        self.run("postgres", f"CREATE DATABASE {name} TEMPLATE {template} OWNER storefront_owner")
        return name


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    cookies: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """A browser that keeps its connection and its cookies."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    timeout: float = 10.0

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        self.connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), sent)
        answer = self.connection.getresponse()
        content = answer.read()
        cookies: dict[str, str] = {}
        for value in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(value).items():
                cookies[name] = morsel.value
        self.cookies.update(cookies)
        return Answer(answer.status, answer.headers, content, cookies)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, headers=headers)


def series(text: str) -> dict[str, float]:
    """Every sample of a metrics page by its name and sorted labels."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(\{.*\})? (\S+)", line).groups()  # type: ignore[union-attr]
            pairs = ",".join(sorted(re.findall(r'\w+="[^"]*"', labels or "")))
            found[f"{name}{{{pairs}}}"] = float(value)
    return found


class Releases:
    """Built artifacts, unpacked and prepared like below /opt/storefront/releases, each once."""

    def __init__(self, artifacts: Path, root: Path) -> None:
        self.artifacts, self.root = artifacts, root
        self._there: dict[str, Path] = {}

    def build(self, *versions: str) -> None:
        done = subprocess.run([sys.executable, STOREFRONT / "build", self.artifacts, "--version", *versions], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def digest(self, version: str) -> str:
        return (self.artifacts / f"storefront-{version}.tar.gz.sha256").read_text().split()[0]

    def unpack(self, version: str) -> Path:
        self.build(version)
        directory = self.root / f"{version}-{self.digest(version)[:12]}"
        shutil.unpack_archive(self.artifacts / f"storefront-{version}.tar.gz", directory)
        told = {"application": "storefront", "release": version, "digest": self.digest(version)}
        (directory / ".release.json").write_text(json.dumps(told))
        return directory

    def ready(self, version: str) -> Path:
        if version not in self._there:
            directory = self.unpack(version)
            if self._there:  # the same wheels: linked, `prepare` finds it done
                shutil.copytree(next(iter(self._there.values())) / ".venv", directory / ".venv", symlinks=True, copy_function=os.link)
            subprocess.run([python311(), directory / "prepare"], check=True)
            self._there[version] = directory
        return self._there[version]

    def migrate(self, version: str, url: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.program(version, "migrate", *words, DATABASE_URL=url, MIGRATION_ROLE="storefront_owner", **environment)

    def program(self, version: str, name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run([self.ready(version) / name, *words], env=clean, capture_output=True, text=True, check=False)


@dataclass
class Service:
    """One running release."""

    directory: Path
    url: str
    flags: Path
    runtime: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.log = self.runtime / "log"
        self.runtime.mkdir(parents=True, exist_ok=True)

    def start(self, wait: str | None = "/healthz") -> Service:
        environment = {
            "PATH": os.environ["PATH"], "DATABASE_URL": self.url, "SESSION_KEY": SESSION_KEY, "FLAGS_FILE": str(self.flags),
            "PORT": str(self.port), "WORKERS": "2", "RUNTIME_DIRECTORY": str(self.runtime), **self.environment,
        }  # fmt: skip
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.directory / "run"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            wait_for(f"{wait} of {self.directory.name}\n{self.log.read_text()}", lambda: self.answers(wait))
        return self

    def answers(self, path: str) -> bool:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log.read_text()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return Client(self.port, timeout=3).get(path).status == 200
        return False

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def client(self, **cookies: str) -> Client:
        return Client(self.port, cookies)

    def metrics(self) -> dict[str, float]:
        return series(Client(self.port).get("/metrics").body.decode())

    def workers(self) -> set[int]:
        listed = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=False)
        return {int(pid) for pid in listed.stdout.split()}

    def evaluated(self, feature: str) -> dict[int, tuple[float, float]]:
        """pid -> (revision, share) of every live worker."""
        found: dict[int, list[float]] = {}
        seen = self.metrics()
        for name in ("feature_flag_revision", "feature_flag_share"):
            for key, value in seen.items():
                match = re.fullmatch(rf'{name}{{flag="{feature}",pid="(\d+)"}}', key)
                if match:
                    found.setdefault(int(match[1]), []).append(value)
        return {pid: (revision, share) for pid, (revision, share) in found.items()}


def flagd(
    revision: int,
    certified: int = 0,
    baking: int | None = None,
    expiry: float | None = None,
    features: tuple[str, ...] = FEATURES,
    labels: tuple[int, ...] = (),
) -> str:
    """A flagd file as Gradual writes it."""

    def dealt(percent: int) -> Any:
        return {"fractional": [["on", percent], ["off", 100 - percent]]} if percent else "off"

    flag: dict[str, Any] = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "metadata": {"revision": revision}}
    if baking is not None:
        flag["targeting"] = {"if": [{"<": [{"var": "$flagd.timestamp"}, expiry]}, dealt(baking), dealt(certified)]}
    elif certified:
        flag["targeting"] = dealt(certified)
    elif labels:
        flag["variants"] |= {f"aa{percent}": False for percent in labels}
        buckets = [[f"aa{upper}", upper - lower] for lower, upper in zip((0, *labels), labels)]
        flag["targeting"] = {"fractional": [*buckets, ["off", 100 - labels[-1]]]}
    return json.dumps({"flags": dict.fromkeys(features, flag), "metadata": {"revision": revision, "application": "storefront"}})


def put(path: Path, text: str) -> None:
    """Atomically, as Gradual does."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    os.replace(temporary, path)


@contextlib.contextmanager
def running(service: Service, wait: str | None = "/healthz") -> Iterator[Service]:
    try:
        yield service.start(wait)
    finally:
        service.stop()
