# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Fetch an artifact over HTTP and know that it is the one that was meant."""

from __future__ import annotations

import hashlib
import re
import urllib.error
from typing import IO, Any, Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import ANYBODY, Access, open_remote

# The options by which every module that fetches an artifact reaches it (doc fragment `artifact`).
FETCH_ARGUMENTS: dict[str, dict[str, Any]] = {
    "url_username": {"type": "str"},
    "url_password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "url_headers": {"type": "dict", "no_log": True},
}
# A URL is kept in the ledger and shown in the report, so nothing in it may open a door. These parameters do: signatures
# of S3, Google, Azure and CloudFront, and tokens.
SECRET_PARAMETERS = re.compile(
    r"x-amz-(signature|credential|security-token)|x-goog-(signature|credential)|sig|signature|.*token|.*secret.*|password"
    r"|(api|access)[-_]?key",
    re.IGNORECASE,
)
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
CHUNK = 1 << 20


class ArtifactError(Exception):
    """What is wrong with the artifact, what was seen, and what to do."""


def access_of(options: Mapping[str, Any]) -> Access:
    """How to reach the artifact, from a module's options."""
    return Access(*(options[name] for name in FETCH_ARGUMENTS))


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
    for name, _value in parse_qsl(parts.query, keep_blank_values=True):
        if SECRET_PARAMETERS.fullmatch(name):
            return (
                f"a URL with the secret parameter {name} in it, which would show in records (give a token as a header:"
                " rollout_artifact_headers)"
            )
    return None


def without_secrets(url: str) -> str:
    """The URL as a message may show it: without user, password and query."""
    before, slashes, rest = url.partition("://")
    place = rest.partition("?")[0].rpartition("@")[2]
    return f"{before}{slashes}{place}"


def _header_names(access: Access) -> str:
    """The names of the headers that go with a request; never their values."""
    return f"headers {', '.join(sorted(access.headers))}" if access.headers else "no headers"


def _open(url: str, timeout: float, access: Access) -> Any:
    mistake = url_mistake(url)
    if mistake:
        raise ArtifactError(f"artifact.url: {mistake}, got {without_secrets(url)!r}; write https://host/path.tar.gz")
    try:
        return open_remote(url, access, timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            advice = (
                f"to user {access.username or 'none'} and {_header_names(access)}; write url_username and url_password,"
                " or a token into url_headers (of a rollout: rollout_artifact_username and rollout_artifact_password,"
                " or rollout_artifact_headers)"
            )
        else:
            # A Git host says 404 of what the token may not see.
            private = f", or give a token ({_header_names(access)} sent)" if error.code == 404 else ""
            advice = f"{error.reason}; put the artifact there, or write the address that it has{private}"
        raise ArtifactError(f"artifact.url: {url} answered {error.code} {advice}") from error
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
    access: Access = ANYBODY,
    check: Callable[[int], None] | None = None,
) -> int:
    """Read all of the artifact, into `target` if given, and return its size in bytes.

    ArtifactError when it cannot be read to its end, or is another than `sha256` (64 hex digits) says.
    `check` is called with the number of bytes so far and may raise.
    """
    wanted = sha256.lower()
    if not SHA256.match(wanted):
        raise ArtifactError(
            f"artifact.sha256: not a SHA-256, got {sha256!r}; write the 64 hex digits of: sha256sum FILE"
        )
    seen, size = hashlib.sha256(), 0
    with _open(url, timeout, access) as answer:
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
