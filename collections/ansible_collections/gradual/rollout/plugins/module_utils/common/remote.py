# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Open a URL of a service of the site: through its proxies, with its certificate authorities and credentials.

The application and the balancers of the fleet are asked by common/http, directly and over a kept connection.
"""

from __future__ import annotations

import dataclasses
import ssl
import typing as t

from ansible.module_utils.urls import open_url


@dataclasses.dataclass(frozen=True)
class Access:
    """How to authenticate at a server. Empty text means None, because roles pass variables that are not set as empty.

    username, password: for HTTP basic authentication; ca_path: PEM file of the authorities to trust, else the system's;
    headers: sent with every request, such as a bearer token or a tenant.
    """

    username: t.Optional[str] = None
    password: t.Optional[str] = dataclasses.field(default=None, repr=False)
    ca_path: t.Optional[str] = None
    headers: t.Optional[t.Mapping[str, str]] = dataclasses.field(default=None, repr=False)


ANYBODY = Access()


def open_remote(url: str, access: Access, timeout: float, data: t.Optional[bytes] = None) -> t.Any:
    """The answer, to be read and closed.

    timeout: seconds that the server may be silent; data: sent with POST. Password and headers go to this server and not
    where it redirects to: a store such as S3 refuses a signed address that comes with a token. The body comes as it is
    stored: an artifact that is served with `Content-Encoding: gzip` keeps its digest.
    Raises HTTPError for a status of 400 or higher, OSError or ValueError if there is no answer.
    """
    if access.ca_path:
        try:
            ssl.create_default_context(cafile=access.ca_path)  # open_url's own error does not name the file
        except OSError as error:
            raise ValueError(
                f"ca_path: {access.ca_path} cannot be read as certificates: {error}; write the path of a PEM file"
            ) from error
    headers = {name: str(value) for name, value in (access.headers or {}).items()}
    return open_url(
        url,
        headers=headers,
        data=data,
        method="GET" if data is None else "POST",
        timeout=timeout,
        url_username=access.username or None,
        url_password=access.password or None,
        force_basic_auth=bool(access.username),
        unredirected_headers=["Authorization", *headers],
        ca_path=access.ca_path or None,
        http_agent="gradual",
        use_netrc=False,
        decompress=False,
    )
