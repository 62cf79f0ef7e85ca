# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""An HTTP client that keeps its connection, as a browser does, and says what it saw rather than raising."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

LIMIT = 4 << 20  # bytes of an answer that are read, unless the caller wants more
# With every request of Gradual's own: the balancer and the application count it apart from those of users.
OWN = {"X-Gradual-Probe": "1"}


class HttpError(Exception):
    """No answer, and why."""


@dataclass
class Answer:
    """Status, headers (lower-case names), body, the seconds from sending to the last byte, and whether the request was
    sent a second time because the server had closed the connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    resent: bool = False

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON; ValueError when it is not."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Session:
    """One connection to one origin, opened when needed and again when the server closed it meanwhile.

    base_url: http(s)://host[:port][/prefix]; address: connect there instead of to the URL's host, which still is
    the name that is asked for and that the certificate must have; ca_path: PEM file of authorities to trust;
    as_user: ask without the header of Gradual's own requests, and be counted as a user; limit: bytes of a body that are
    read.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float = 5.0,
        ca_path: str | None = None,
        address: str | None = None,
        as_user: bool = False,
        limit: int = LIMIT,
    ) -> None:
        try:
            parts = urlsplit(base_url)
            self._port = parts.port
        except ValueError as error:
            raise HttpError(f"{base_url!r} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HttpError(f"{base_url!r} is not an http or https URL; write http://host:port")
        self.base_url = base_url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout
        self._limit = limit
        self._address = address
        self._headers = {"User-Agent": "gradual", **({} if as_user else OWN)}
        self._context: ssl.SSLContext | None = None
        if self._secure:
            try:
                self._context = ssl.create_default_context(cafile=ca_path)
            except (OSError, ssl.SSLError) as error:
                raise HttpError(f"ca_path: {ca_path} cannot be read as certificates: {error}") from error
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        if self._address:
            address = self._address

            def create(target: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
                return socket.create_connection((address, target[1]), *arguments, **options)

            connection._create_connection = create  # type: ignore[attr-defined]
        return connection

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send one request and read its answer; redirects are answers. HttpError when there is none.

        A request that finds its kept connection closed is sent again on a new one, as browsers do, unless the
        server may have acted on it (a method that is not idempotent).
        """
        kept = self._connection is not None
        try:
            return self._exchange(method, path, headers, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept or method not in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
                raise HttpError(f"{self._where(path)} closed the connection without an answer") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise HttpError(f"{self._where(path)}: {_reason(error, self._timeout)}") from error
        try:
            return replace(self._exchange(method, path, headers, body), resent=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise HttpError(f"{self._where(path)}: {_reason(error, self._timeout)}") from error

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """request() with GET."""
        return self.request("GET", path, headers)

    def _where(self, path: str) -> str:
        return f"{self.base_url}{path}" + (f" (at {self._address})" if self._address else "")

    def _exchange(self, method: str, path: str, headers: dict[str, str] | None, body: bytes | None) -> Answer:
        began = time.monotonic()
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self._prefix + path, body=body, headers={**self._headers, **(headers or {})})
        response = self._connection.getresponse()
        content = response.read(self._limit)
        known = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(response.status, known, content, time.monotonic() - began)


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, socket.timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error) or type(error).__name__


def get(url: str, timeout: float = 5.0, limit: int = LIMIT) -> Answer:
    """The answer at a URL, on a connection of its own; HttpError when there is none."""
    parts = urlsplit(url)
    with Session(f"{parts.scheme}://{parts.netloc}", timeout, limit=limit) as session:
        return session.get((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def fetch_json(url: str, timeout: float = 5.0) -> Any:
    """The JSON object at a URL; None when there is no good answer."""
    try:
        answer = get(url, timeout)
        return answer.json() if answer.status == 200 else None
    except (HttpError, ValueError):
        return None
