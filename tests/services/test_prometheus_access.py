"""A real Prometheus that answers over TLS and to one user alone."""

from __future__ import annotations

import collections.abc
import pathlib
import subprocess

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import Access
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

from tests.services.history import prometheus

# What `htpasswd -nbBC 4 reader opensesame` says.
USERS = "basic_auth_users: {reader: $2b$04$6PmnyTcNI8o8vBYN3rgjmOMZhQr6/ybyyITg3JgA85npYnGqwI5Z.}\n"


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[tuple[str, str]]:
    """Its address, and the certificate that signed its own."""
    folder: pathlib.Path = tmp_path_factory.mktemp("protected")
    certificate, key = folder / "server.pem", folder / "server.key"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=prometheus -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
    web = f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n{USERS}"
    with prometheus(folder, web=web) as address:
        yield address, str(certificate)


def test_the_user_with_the_password_is_answered(protected: tuple[str, str]) -> None:
    address, authority = protected
    asked = Prometheus(address, access=Access("reader", "opensesame", authority))

    assert asked.values("vector(21)", 1_780_000_000) == [({}, 21.0)]


@pytest.mark.parametrize(
    ("username", "password", "trusted", "message"),
    [
        ("reader", "wrong", True, "answers 401 to user reader; write prometheus_username and prometheus_password"),
        (None, None, True, "answers 401 to user none; write prometheus_username"),
        ("reader", "opensesame", False, "does not answer: .*certificate verify failed"),
    ],
)
def test_anybody_else_gets_an_error_that_says_what_to_write(
    protected: tuple[str, str], username: str | None, password: str | None, trusted: bool, message: str
) -> None:
    address, authority = protected
    asked = Prometheus(address, access=Access(username, password, authority if trusted else None))

    with pytest.raises(PrometheusError, match=message):
        asked.values("vector(21)", 1_780_000_000)
