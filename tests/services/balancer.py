"""The configuration that roles/balancer writes, for a HAProxy on ports of this machine."""

from __future__ import annotations

import pathlib
import typing as t

import jinja2
import yaml

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles" / "balancer"
# Who comes from here is one of the fleet; users come from any other address of this machine.
FLEET, USER = "127.0.0.30", "127.0.0.1"


def configuration(
    folder: pathlib.Path, front_door: int, servers: t.Mapping[str, int], internal: int = 0, **more: t.Any
) -> str:
    """haproxy.cfg: front door without TLS on a port, exporter on another (0: none), the servers {name: port} on
    127.0.0.1."""
    addresses = {name: f"192.0.2.{number}" for number, name in enumerate(servers, 11)}
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    hosts = {
        **{name: {"host_address": address} for name, address in addresses.items()},
        "mon1": {"host_address": FLEET},
    }
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["extract"] = lambda name, container: container[name]
    text = environment.from_string((ROLE / "templates" / "haproxy.cfg.j2").read_text()).render(
        {
            **defaults,
            # What the defaults make of variables of the inventory.
            "balancer_application_port": 8080,
            "balancer_check_path": "/readyz",
            "balancer_internal_paths": ["healthz", "readyz", "version", "metrics"],
            "ansible_managed": "test",
            "front_door": {"name": "shop.test"},
            "hostvars": hosts,
            "groups": {"all": list(hosts), "application": list(servers)},
            **more,
        }
    )
    for line in ("    user haproxy\n", "    group haproxy\n", "    chroot /var/lib/haproxy\n"):
        text = _once(text, line, "")
    text = _once(text, "/run/haproxy/admin.sock mode 660", f"{folder}/admin.sock mode 600")
    text = _once(text, "/var/lib/haproxy/server-state", f"{folder}/server-state")
    text = _once(text, "bind :80\n", f"bind unix@{folder}/redirect.sock\n")
    text = _once(
        text, f"bind :443 ssl crt {defaults['balancer_certificate_directory']} alpn h2,http/1.1", f"bind :{front_door}"
    )
    text = _once(text, "bind :8404", f"bind 127.0.0.1:{internal}" if internal else f"bind unix@{folder}/internal.sock")
    for name, address in addresses.items():
        assert f"{address}:8080" in text, "the role writes servers in another way"
        text = text.replace(f"{address}:8080", f"127.0.0.1:{servers[name]}")
    return text


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"roles/balancer has {old!r} {text.count(old)} times"
    return text.replace(old, new)
