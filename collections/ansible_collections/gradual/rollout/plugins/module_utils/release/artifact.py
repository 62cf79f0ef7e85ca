# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Fetch an artifact over HTTP and know that it is the one that was meant."""

from __future__ import annotations

import hashlib
import re
import ssl
import urllib.error
import urllib.request
from typing import IO, Any, Callable
from urllib.parse import urlsplit

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
CHUNK = 1 << 20


class ArtifactError(Exception):
    """What is wrong with the artifact, what was seen, and what to do."""


def url_mistake(url: str) -> str | None:
    """What is wrong with the URL of an artifact, None when nothing is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a URL ({error})"
    if parts.scheme not in ("http", "https"):
        return "not an http or https URL"
    if not parts.hostname or port == 0:
        return "a URL without a host"
    if any(character.isspace() or ord(character) < 32 for character in url):
        return "a URL with spaces in it"
    if "@" in parts.netloc:
        return "a URL with a user or password in it, which would show in records"
    return None


def _opener(ca_path: str | None) -> urllib.request.OpenerDirector:
    """Opens http and https alone: urllib's own opener reads file: and ftp: too, also by redirection."""
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except (OSError, ssl.SSLError) as error:
        raise ArtifactError(
            f"ca_path: {ca_path} cannot be read as certificates: {error}. Write the path of a PEM file."
        ) from error
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _open(url: str, timeout: float, ca_path: str | None) -> Any:
    mistake = url_mistake(url)
    if mistake:
        raise ArtifactError(f"artifact.url: {mistake}, seen {url!r}; write https://host/path.tar.gz")
    try:
        return _opener(ca_path).open(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise ArtifactError(
            f"artifact.url: {url} answered {error.code} {error.reason}; put the artifact there, or write the address"
            " that it has"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ArtifactError(
            f"artifact.url: {url} cannot be reached from this host: {reason}; try: curl -I {url}"
        ) from error


def fetch(
    url: str,
    sha256: str,
    target: IO[bytes] | None = None,
    timeout: float = 30,
    ca_path: str | None = None,
    check: Callable[[int], None] | None = None,
) -> int:
    """Read all of the artifact, into `target` if given, and return its size in bytes.

    ArtifactError when it cannot be read to its end, or is another than `sha256` (64 hex digits) says.
    `check` is called with the number of bytes so far and may raise.
    """
    wanted = sha256.lower()
    if not SHA256.match(wanted):
        raise ArtifactError(
            f"artifact.sha256: not a SHA-256, seen {sha256!r}; write the 64 hex digits of: sha256sum FILE"
        )
    seen, size = hashlib.sha256(), 0
    with _open(url, timeout, ca_path) as answer:
        length = answer.headers.get("Content-Length")
        try:
            while True:
                block = answer.read(CHUNK)
                if not block:
                    break
                size += len(block)
                seen.update(block)
                if target is not None:
                    target.write(block)
                if check is not None:
                    check(size)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"artifact.url: {url} broke off after {size} bytes: {error}; try again") from error
    if length is not None and length.isdigit() and int(length) != size:
        raise ArtifactError(f"artifact.url: {url} broke off after {size} of {length} bytes; try again")
    if seen.hexdigest() != wanted:
        raise ArtifactError(
            f"artifact.sha256: {url} is another file than the manifest means: its SHA-256 is {seen.hexdigest()}, the"
            f" manifest has {wanted}; put the right file there, or, if this one is meant, write its digest"
        )
    return size
