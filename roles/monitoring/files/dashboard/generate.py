"""Write rollout.json, the dashboard of a rollout, in Grafana's classic form.

    python roles/monitoring/files/dashboard/generate.py [--check]

The panels stand here as a table; the library knows how Grafana spells them. Whether a query is right no library can
tell: tests run each of them against a live Prometheus and want at least one series.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    GraphGradientMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    TooltipDisplayMode,
)

OUTPUT = Path(__file__).with_name("rollout.json")
WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel: its title, the unit of its values, and its queries with the names of their lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""
    width: int = 8
    height: int = 7
    kind: str = "lines"
    most: float | None = None
    limit: float | None = None


def panel(title: str, unit: str, *queries: tuple[str, str], **more: object) -> Panel:
    return Panel(title, unit, queries, **more)  # type: ignore[arg-type]


FRONT, PROBES = 'proxy="front_door"', 'proxy="application_probes"'
BAD_SHARE = (
    'sum by (feature, variant) (rate(feature_requests_total{outcome="error"}[1m])) / sum by (feature, variant)'
    " (rate(feature_requests_total[1m]))"
)
FEATURE_DURATION = "feature_request_duration_seconds"
P95 = f"histogram_quantile(0.95, sum by (feature, variant, le) (rate({FEATURE_DURATION}_bucket[1m])))"
SLOW = (
    f'1 - sum by (feature, variant) (rate({FEATURE_DURATION}_bucket{{le="0.5"}}[1m])) / sum by (feature, variant)'
    f" (rate({FEATURE_DURATION}_count[1m]))"
)
STORED = 'fstype!~"tmpfs|ramfs"'
DISK = f"max by (host) (1 - node_filesystem_avail_bytes{{{STORED}}} / node_filesystem_size_bytes{{{STORED}}})"
ANSWERS = "http_request_duration_seconds"
RESPONSES = "haproxy_backend_http_responses_total"
# What no user waits for: the checks of balancer and Prometheus, and Gradual's own requests.
USERS = 'route!~"/healthz|/readyz|/version|/metrics|gradual-probe"'

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "The rollout",
        (
            panel(
                "Share of users, as the processes evaluate it",
                "percentunit",
                ("avg by (flag) (feature_flag_share)", "{{flag}}"),
                about="A stage that is not certified falls back by itself.",
                width=10,
                most=1,
            ),
            panel(
                "Share by host",
                "percentunit",
                ("avg by (flag, host) (feature_flag_share)", "{{flag}} {{host}}"),
                width=7,
                most=1,
            ),
            panel(
                "Revision of the flags, by host",
                "none",
                ("max by (host) (feature_flag_revision)", "{{host}} highest"),
                ("min by (host) (feature_flag_revision)", "{{host}} lowest"),
                about="One line: every process evaluates the same.",
                width=7,
            ),
            panel(
                "Hosts that are ready",
                "bool",
                ('probe_success{job="readiness"}', "{{host}}"),
                width=8,
                height=6,
                most=1,
            ),
            panel(
                "Hosts in traffic",
                "bool",
                ('max by (server) (haproxy_server_status{proxy="application", state="UP"})', "{{server}}"),
                about="0 while a host is drained, in maintenance or down.",
                width=8,
                height=6,
                most=1,
            ),
            panel(
                "Alerts that fire",
                "short",
                ('count by (alertname, severity) (ALERTS{alertstate="firing"})', "{{alertname}} ({{severity}})"),
                about="Watchdog always fires: it shows that alerts arrive.",
                width=8,
                height=6,
            ),
        ),
    ),
    (
        "The features, with (on) and without (off; aa25 and so on before the first stage)",
        (
            panel(
                "Requests",
                "reqps",
                ("sum by (feature, variant) (rate(feature_requests_total[1m]))", "{{feature}} {{variant}}"),
            ),
            panel("Share that failed", "percentunit", (BAD_SHARE, "{{feature}} {{variant}}"), limit=0.02),
            panel("Share slower than half a second", "percentunit", (SLOW, "{{feature}} {{variant}}"), limit=0.1),
            panel(
                "95 of 100 are faster than",
                "s",
                (P95, "{{feature}} {{variant}}"),
                about="Interpolated between buckets: to look at, not to test.",
            ),
            panel(
                "Opinions in 15 minutes",
                "short",
                (
                    "sum by (feature, variant, opinion) (increase(feature_feedback_total[15m]))",
                    "{{feature}} {{variant}} {{opinion}}",
                ),
            ),
            panel(
                "Orders a minute",
                "short",
                ("60 * sum by (feature, variant) (rate(feature_orders_total[5m]))", "{{feature}} {{variant}}"),
            ),
        ),
    ),
    (
        "The front door",
        (
            panel(
                "Answers by status",
                "reqps",
                (
                    (
                        f"sum by (code) (rate(haproxy_frontend_http_responses_total{{{FRONT}}}[1m])) - sum by (code)"
                        f" (rate({RESPONSES}{{{PROBES}}}[1m]))"
                    ),
                    "{{code}}",
                ),
                (f"sum(rate({RESPONSES}{{{PROBES}}}[1m]))", "to Gradual itself"),
                about="Those to users by status; Gradual's own requests are in no other figure.",
            ),
            panel(
                "Failed answers (5xx)",
                "reqps",
                (f'sum(rate({RESPONSES}{{proxy="application", code="5xx"}}[1m]))', "5xx"),
                ("sum by (host) (rate(unhandled_errors_total[1m]))", "unhandled on {{host}}"),
                limit=0.001,
            ),
            panel(
                "Time to answer",
                "s",
                (f"histogram_quantile(0.5, sum by (le) (rate({ANSWERS}_bucket{{{USERS}}}[1m])))", "p50"),
                (f"histogram_quantile(0.95, sum by (le) (rate({ANSWERS}_bucket{{{USERS}}}[1m])))", "p95"),
                (f"sum(rate({ANSWERS}_sum{{{USERS}}}[1m])) / sum(rate({ANSWERS}_count{{{USERS}}}[1m]))", "mean"),
                limit=0.5,
            ),
            panel(
                "95 of 100 are faster than, by route",
                "s",
                (f"histogram_quantile(0.95, sum by (route, le) (rate({ANSWERS}_bucket{{{USERS}}}[5m])))", "{{route}}"),
            ),
            panel(
                "Requests by host", "reqps", (f"sum by (host) (rate(http_requests_total{{{USERS}}}[1m]))", "{{host}}")
            ),
            panel(
                "As a user sees it, from outside",
                "s",
                ('probe_duration_seconds{job="front_door"}', "seconds for the page"),
                ('probe_success{job="front_door"}', "answered (1) or not (0)"),
            ),
        ),
    ),
    (
        "The database",
        (
            panel("Connections", "short", ('sum by (state) (pg_stat_activity_count{datname!=""})', "{{state}}")),
            panel(
                "Transactions",
                "ops",
                ("sum by (datname) (rate(pg_stat_database_xact_commit[1m]))", "{{datname}} committed"),
                ("sum by (datname) (rate(pg_stat_database_xact_rollback[1m]))", "{{datname}} rolled back"),
            ),
            panel(
                "Longest transaction",
                "s",
                ("max by (datname) (pg_stat_activity_max_tx_duration)", "{{datname}}"),
                about="A migration waits behind it.",
            ),
            panel("Locks", "short", ("sum by (mode) (pg_locks_count)", "{{mode}}")),
            panel(
                "Connections of the application",
                "short",
                ("sum by (host, state) (database_pool_connections)", "{{host}} {{state}}"),
            ),
            panel(
                "Deadlocks in 15 minutes",
                "short",
                ("sum by (datname) (increase(pg_stat_database_deadlocks[15m]))", "{{datname}}"),
            ),
        ),
    ),
    (
        "The guards",
        (
            panel(
                "Age of the 5-minute health check",
                "s",
                ("time() - gradual_health_check_last_run_timestamp_seconds", "{{host}}"),
                kind="figure",
                width=6,
                height=5,
                limit=660,
            ),
            panel(
                "Health check passed",
                "bool",
                ("gradual_health_check_passed", "{{host}}"),
                kind="figure",
                width=6,
                height=5,
            ),
            panel(
                "Days until the certificate ends",
                "d",
                ('(probe_ssl_earliest_cert_expiry{job="front_door"} - time()) / 86400', "certificate"),
                kind="figure",
                width=6,
                height=5,
            ),
            panel(
                "Targets that cannot be read",
                "short",
                ("count(up == 0) or vector(0)", "targets"),
                kind="figure",
                width=6,
                height=5,
                limit=1,
            ),
            panel(
                "Processor",
                "percentunit",
                ('1 - avg by (host) (rate(node_cpu_seconds_total{mode="idle"}[1m]))', "{{host}}"),
                most=1,
            ),
            panel(
                "Memory in use",
                "percentunit",
                ("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{host}}"),
                most=1,
            ),
            panel("Disk in use, the fullest", "percentunit", (DISK, "{{host}}"), most=1),
        ),
    ),
)


def source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def thresholds(limit: float) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green"), models.Threshold(value=limit, color="red")]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def built(wanted: Panel) -> timeseries.Panel | stat.Panel:
    """The library's builder for a panel."""
    if wanted.kind == "figure":
        made: timeseries.Panel | stat.Panel = stat.Panel()
    else:
        made = (
            timeseries.Panel()
            .line_width(1.5)
            .fill_opacity(8)
            .gradient_mode(GraphGradientMode.NONE)
            .line_interpolation(
                LineInterpolation.STEP_AFTER if wanted.unit in ("bool", "none") else LineInterpolation.LINEAR
            )
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
            .min(0)
        )
    made = (
        made.title(wanted.title)
        .description(wanted.about)
        .unit(wanted.unit)
        .datasource(source())
        .span(wanted.width)
        .height(wanted.height)
    )
    if wanted.most is not None:
        made = made.max(wanted.most)
    if wanted.limit is not None:
        made = made.thresholds(thresholds(wanted.limit))
    for position, (expression, name) in enumerate(wanted.queries):
        made = made.with_target(
            prometheus.Dataquery()
            .expr(expression)
            .legend_format(name)
            .ref_id(chr(ord("A") + position))
            .datasource(source())
        )
    return made


def make() -> str:
    """The dashboard as text."""
    made = (
        dashboard.Dashboard("Gradual: rollout")
        .uid("gradual-rollout")
        .description(
            "A rollout as it goes: who has the features, what they do to users, and what carries them. Generated:"
            " change generate.py instead."
        )
        .tags(["gradual"])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .annotation(
            dashboard.AnnotationQuery()
            .name("Flags written")
            .datasource(source())
            .expr("max(feature_flag_revision) > (max(feature_flag_revision offset 15s))")
            .enable(True)
            .icon_color("blue")
        )
    )
    number = 0
    for title, panels in ROWS:
        number += 1
        made = made.with_row(dashboard.Row(title).id(number))
        for wanted in panels:
            number += 1
            made = made.with_panel(built(wanted).id(number))
    return (
        json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(made.build())), indent=2, sort_keys=True)
        + "\n"
    )


def main(arguments: list[str]) -> int:
    text = make()
    if "--check" in arguments:
        if not OUTPUT.is_file() or OUTPUT.read_text() != text:
            print(f"{OUTPUT} is not what generate.py makes: run python {Path(__file__).name} and commit the result")
            return 1
        return 0
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
