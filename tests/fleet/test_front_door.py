"""What users and strangers meet at the balancer: encryption, headers, limits, and nothing that is not for them."""

from __future__ import annotations

import collections
import csv
import http.client
import io
import json
import re
import socket
import ssl
import threading
import time

import pytest

from tests.support import fleet
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("finished")
NAME = "storefront.test"
AUTHORITY = fleet.HOME / ".sandbox/tls/ca.pem"
# Sends as many requests as it is told over one kept-alive connection, from inside the fleet; prints statuses with their
# number.
HAMMER = """
import collections, http.client, ssl, sys, threading
context, seen = ssl.create_default_context(cafile="/etc/gradual/front-door-ca.pem"), collections.Counter()
def send(number):
    connection = http.client.HTTPSConnection("storefront.test", context=context, timeout=10)
    for _ in range(number):
        connection.request("GET", sys.argv[2])
        answer = connection.getresponse()
        answer.read()
        seen[answer.status] += 1
threads = [threading.Thread(target=send, args=(int(sys.argv[1]) // 4,)) for _ in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(" ".join(f"{status}={number}" for status, number in sorted(seen.items())))
"""


def connect() -> http.client.HTTPSConnection:
    """As a browser outside would come: by name, and with the certificate checked."""
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    connection = http.client.HTTPSConnection(NAME, context=context, timeout=10)
    raw = socket.create_connection((fleet.addresses()["lb1"], 443), timeout=10)
    connection.sock = context.wrap_socket(raw, server_hostname=NAME)
    return connection


def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = connect()
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def asset() -> str:
    found = re.search(r"/static/[\w.-]+", ask("/")[2])
    assert found, "the page names no asset"
    return found[0]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/api/products", 200), ("/api/account", 401), ("/no-such-page", 404), ("/metrics", 404)],
)
def test_security_headers_stand_on_every_answer(path: str, status: int) -> None:
    seen, headers, _ = ask(path)
    assert seen == status
    assert int(headers["strict-transport-security"].removeprefix("max-age=")) >= 31_536_000
    assert "default-src" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "referrer-policy" in headers
    assert "server" not in headers


def test_plain_http_is_sent_on() -> None:
    connection = http.client.HTTPConnection(fleet.addresses()["lb1"], 80, timeout=10)
    connection.request("GET", "/api/products?page=2", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"https://{NAME}/api/products?page=2")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_are_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection((fleet.addresses()["lb1"], 443), timeout=10) as raw,
    ):
        context.wrap_socket(raw, server_hostname=NAME)


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "//metrics",
        "/./metrics",
        "/%6detrics",
        "/METRICS",
        "/metrics?x=1",
        "/metrics;x",
        "/metrics%2f",
        "/healthz",
        "/readyz",
        "/version",
        "/x/../metrics",
        "/x/%2e%2e/version",
        "https://storefront.test/metrics",
    ],
)
def test_what_is_for_the_fleet_is_not_there_for_others(path: str) -> None:
    status, _, body = ask(path)
    assert status in (400, 404), f"{path} answered {status}"
    assert "http_requests_total" not in body
    assert "digest" not in body


def test_a_path_that_only_begins_alike_is_served() -> None:
    """Negative control: the guard does not refuse whatever looks similar; the application itself says it has no such
    page."""
    assert ask("/versions-of-tea")[1].get("content-type", "").startswith(("application/json", "text/html"))
    assert ask("/api/products?q=/metrics")[0] == 200


def test_only_the_front_door_is_open() -> None:
    addresses = fleet.addresses()
    for host, port in [
        ("app1", 8080),
        ("app2", 8080),
        ("app3", 8080),
        ("app1", 9100),
        ("db1", 5432),
        ("db1", 9187),
        ("lb1", 8404),
        ("mon1", 9095),
    ]:
        with pytest.raises(OSError, match=r"timed out|refused"):
            socket.create_connection((addresses[host], port), timeout=1)
    for host, port in [("lb1", 443), ("lb1", 80), ("mon1", 9090)]:
        socket.create_connection((addresses[host], port), timeout=5).close()


def test_assets_are_kept() -> None:
    path = asset()
    ask(path)
    status, headers, _ = ask(path)
    assert status == 200
    assert "immutable" in headers["cache-control"]
    assert "age" in headers, "the balancer did not answer from its cache"
    assert "age" not in ask("/api/products")[1]


def test_nobody_chooses_a_server_from_outside() -> None:
    """The header that probes inside the fleet use means nothing to others; the application sees who really asked."""
    said = fleet.execute(
        "mon1",
        "sh",
        "-c",
        "for host in app1 app2 app3; do curl -s -o /dev/null -w '%{http_code} ' --cacert /etc/gradual/front-door-ca.pem"
        ' -H "X-Gradual-Server: $host" https://storefront.test/api/products; done',
    )
    assert said.split() == ["200"] * 3
    before = served()
    for _ in range(9):
        assert ask("/api/products", X_Gradual_Server="app1")[0] == 200
    assert len([host for host, number in served().items() if number > before[host]]) > 1


def test_requests_of_users_are_counted_without_those_of_gradual() -> None:
    """Health check and exporter ask all the time, and these 9 do too; a user who claims to be Gradual is counted as a
    user."""
    own = (
        "curl -s -o /dev/null -w '%{http_code} ' --cacert /etc/gradual/front-door-ca.pem -H 'X-Gradual-Probe: 1'"
        " https://storefront.test"
    )
    before = asked()
    said = fleet.execute(
        "mon1",
        "sh",
        "-c",
        f"for path in /api/products /metrics /static/none; do for n in 1 2 3; do {own}$path; done; done",
    )
    assert said.split() == ["200"] * 3 + ["404"] * 6
    for _ in range(3):
        assert ask("/api/products", X_Gradual_Probe="1")[0] == ask("/api/products")[0] == 200
    after = asked()
    assert after["application_probes"] - before["application_probes"] >= 9
    users = {name: after[name] - before[name] for name in after}
    assert users["front_door"] - users["application_probes"] == users["application"] == 6


def asked() -> dict[str, int]:
    """Frontend or backend -> requests so far."""
    said = fleet.execute("lb1", "socat", "stdio", "/run/haproxy/admin.sock", text="show stat\n")
    rows = csv.DictReader(io.StringIO(said.lstrip("# ")))
    return {
        row["pxname"]: int(row["req_tot"] or 0)
        for row in rows
        if row["svname"] in ("FRONTEND", "BACKEND") and row["pxname"] != "internal"
    }


def served() -> dict[str, int]:
    """Server -> answers so far."""
    said = fleet.execute("lb1", "socat", "stdio", "/run/haproxy/admin.sock", text="show stat application 4 -1 typed\n")
    names = dict(re.findall(r"^S\.\d+\.(\d+)\.1\.svname\.\d+:.*:(\w+)$", said, re.M))
    numbers = dict(re.findall(r"^S\.\d+\.(\d+)\.\d+\.hrsp_2xx\.\d+:.*:(\d+)$", said, re.M))
    return {name: int(numbers[key]) for key, name in names.items()}


def test_who_sends_too_much_is_told_so() -> None:
    """From a host of its own, so that no other test is limited; cached assets, so that the application does not feel
    it."""
    path = asset()
    few = fleet.execute("db1", "python3", "-", "200", path, text=HAMMER)
    assert few.strip() == "200=200", "negative control: a few are not refused"
    seen = dict(pair.split("=") for pair in fleet.execute("db1", "python3", "-", "4400", path, text=HAMMER).split())
    assert set(seen) == {"200", "429"}
    assert 3500 <= int(seen["200"]) <= 4300
    assert ask(path)[0] == 200, "others are not limited with it"


def command(text: str) -> str:
    """What HAProxy says to a command."""
    return fleet.execute("lb1", "socat", "stdio", "/run/haproxy/admin.sock", text=text + "\n")


def test_a_drain_survives_reload_and_restart() -> None:
    try:
        command("set server application/app3 state maint")
        for verb in ("reload", "restart"):
            fleet.execute("lb1", "systemctl", verb, "haproxy")
            until(lambda: fleet.balancer().get("app1") == "UP", f"HAProxy is back after {verb}")
            assert fleet.balancer()["app3"] == "MAINT"
    finally:
        command("set server application/app3 state ready")
    until(lambda: fleet.balancer()["app3"] == "UP", "app3 is back")


def test_a_changed_port_is_taken_and_the_drain_survives() -> None:
    """The port of one server that gets no traffic meanwhile; another one is drained."""

    def move(before: int, after: int) -> None:
        fleet.execute("lb1", "sed", "-i", f"/server app3 /s/:{before}$/:{after}/", "/etc/haproxy/haproxy.cfg")
        fleet.execute("lb1", "systemctl", "reload", "haproxy")
        until(lambda: ports().get("app3") == str(after), f"app3 is asked at port {after}")

    def ports() -> dict[str, str]:
        rows = [line.split() for line in command("show servers state application").splitlines()[2:] if line]
        return {row[3]: row[18] for row in rows}

    try:
        for name in ("app2", "app3"):
            command(f"set server application/{name} state maint")
        move(8080, 8081)
        assert ports() == {"app1": "8080", "app2": "8080", "app3": "8081"}
        assert (fleet.balancer()["app2"], fleet.balancer()["app3"]) == ("MAINT", "MAINT")
    finally:
        move(8081, 8080)
        for name in ("app2", "app3"):
            command(f"set server application/{name} state ready")
    until(lambda: set(fleet.balancer().values()) == {"UP"}, "all servers are back")


def test_a_reload_fails_no_request() -> None:
    """Kept-alive connections that are busy while HAProxy is reloaded; each that it closes is opened again by its
    client."""
    stop, statuses, faults = threading.Event(), collections.Counter[int](), []

    def browse() -> None:
        connection = connect()
        while not stop.is_set():
            try:
                connection.request("GET", "/api/products", headers={"Host": NAME})
                answer = connection.getresponse()
                answer.read()
                statuses[answer.status] += 1
                if answer.will_close:
                    connection.close()
                    connection = connect()
            except (OSError, http.client.HTTPException) as fault:
                faults.append(repr(fault))
                connection = connect()
            time.sleep(0.02)

    browsers = [threading.Thread(target=browse) for _ in range(6)]
    for browser in browsers:
        browser.start()
    for _ in range(3):
        time.sleep(1)
        fleet.execute("lb1", "systemctl", "reload", "haproxy")
    time.sleep(1)
    stop.set()
    for browser in browsers:
        browser.join()
    assert faults == []
    assert set(statuses) == {200}
    assert statuses[200] > 100


def test_answers_of_the_balancer_itself_are_json() -> None:
    assert json.loads(ask("/metrics")[2]) == {"error": "Not found."}
