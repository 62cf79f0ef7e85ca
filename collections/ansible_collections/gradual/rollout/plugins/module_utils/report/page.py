# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The report as one self-contained page. The template is a Python text because only Python files travel with a
module."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.report import templates

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --soft: #52606d; --line: #dde3e9; --good: #1b7f56; --bad: #b42318; --open: #9a6700; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 4px 0 6px; } h2 { font-size: 18px; margin: 0 0 10px; }
section, header { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin: 0 0 16px; }
.soft { color: var(--soft); } small { color: var(--soft); }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; font-weight: 600; font-size: 13px; color: #fff; background: var(--soft); white-space: nowrap; }
.shown, .PASS, .completed, .finished, .promote { background: var(--good); } .failed, .FAIL, .incomplete, .abort { background: var(--bad); }
.CONCERNS, .RETURNED, .returned, .open, .started, .not-measured, .hold, .continue { background: var(--open); } .not-needed { background: #7b8794; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 16px; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; } .figures b { display: block; font-size: 19px; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; } tr:last-child td { border-bottom: 0; }
td:first-child { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; } td.lines { color: var(--soft); max-width: 150px; }
figure { margin: 8px 0 16px; } figure svg { width: 100%; height: auto; display: block; } figcaption { color: var(--soft); font-size: 13px; }
.wide { overflow-x: auto; } .wide + .wide { margin-top: 16px; } ol, ul { margin: 6px 0; padding-left: 22px; } code { background: #eef1f4; padding: 1px 5px; border-radius: 4px; font-size: 13px; overflow-wrap: anywhere; }
details summary { cursor: pointer; font-weight: 600; }
@media print { body { background: #fff; } section, header { break-inside: avoid; border: 0; padding: 8px 0; } }
"""  # noqa: E501

TEMPLATE = """\
{% macro badge(status) %}<span class="badge {{ status | replace(' ', '-') }}">{{ status }}</span>{% endmacro %}
{% macro n(value) %}<td class="number">{{ value }}</td>{% endmacro %}
{% macro chart(name, caption) %}{% if charts[name] is defined %}<figure role="img" aria-label="{{ caption }}">{{ charts[name] | safe }}<figcaption>{{ caption }}</figcaption></figure>
{% else %}<p class="soft">{{ caption }}: not measured.</p>{% endif %}{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ report.application }} {{ report.version }}: {{ report.outcome }}</title>
<style>{{ style | safe }}</style>
</head>
<body><main>
<header>
{{ badge(report.outcome) }} <span class="soft">rollout {{ report.rollout }}</span>
<h1>{{ report.headline }}</h1>
{% if claims["asked"] is defined %}<p>{{ claims["asked"].statement }}.</p>{% endif %}
<p class="soft">From {{ report.started }} to {{ report.finished or "(not ended)" }}. Artifact <code>{{ report.artifact or "unknown" }}</code></p>
<div class="figures">
<div><small>gate of this report</small><b>{{ badge(report.gate.status) }}</b></div>
{% if report.stages %}<div><small>features certified at</small><b>{{ ("%d %%" % (report.stages | selectattr("certified") | map(attribute="percent") | max)) if report.stages | selectattr("certified") | list else "none" }}</b></div>
{% else %}<div><small>hosts with the release</small><b>{{ "%d of %d" % (claims["with-all-users"].value.have | length, report.hosts | length) if claims["with-all-users"] is defined and claims["with-all-users"].value else "-" }}</b></div>
{% endif %}<div><small>requests of users</small><b>{{ claims["requests-failed"].value.requests | number if claims["requests-failed"].value else "not measured" }}</b></div>
<div><small>failed</small><b>{{ claims["requests-failed"].value.failed | number if claims["requests-failed"].value else "not measured" }}</b></div>
<div><small>average answer</small><b>{{ claims["mean-seconds"].value | milliseconds if claims["mean-seconds"].value is not none else "not measured" }}</b></div>
<div><small>time taken</small><b>{{ claims["duration"].value | seconds }}</b></div>
</div>
</header>

<section><h2>What to do next</h2>
{% if report.next_steps %}<ol>{% for step in report.next_steps %}<li>{{ step }}</li>{% endfor %}</ol>{% else %}<p>Nothing.</p>{% endif %}
{% if report.gate.reasons %}<details><summary>Why the gate is {{ report.gate.status }}</summary><ul>{% for reason in report.gate.reasons %}<li>{{ reason }}</li>{% endfor %}</ul></details>{% endif %}
</section>

<section><h2>The criteria</h2><div class="wide"><table>
<tr><th>#</th><th>criterion</th><th>status</th><th>evidence: claim and lines of the ledger</th></tr>
{% for row in report.criteria %}<tr><td>{{ row.number }}</td><td>{{ row.criterion }}</td><td>{{ badge(row.status) }}</td>
<td class="soft">{{ row.claims | evidence(report) }}</td></tr>
{% endfor %}</table></div></section>

<section><h2>The features, stage by stage</h2>
{% if report.stages %}{{ chart("share", "Share of users who have the features: set, as measured through the front door, and certified") }}{% endif %}
{% if report.stages %}<div class="wide"><table><tr><th>share</th><th>set</th><th>certified</th><th class="number">looks</th><th>measured</th><th>the gate's last word</th></tr>
{% for row in report.stages %}<tr><td>{{ row.percent }} %</td><td>{{ row.set | time_of_day }}</td><td>{{ row.certified | time_of_day }}</td>
{{ n(row.looks) }}<td>{{ (row.shares | shares) if row.set else "-" }}</td>
<td>{% if not row.set %}<small>not reached</small>{% elif row.verdict %}{{ badge(row.verdict) }} <small>{{ row.reason }}</small>{% else %}<small>did not look</small>{% endif %}</td></tr>
{% endfor %}</table></div>{% else %}<p>{{ claims["stages"].statement if claims["stages"] is defined else "None." }}</p>{% endif %}</section>

<section><h2>What users saw</h2>
<ul>{% for name in ("with-all-users", "requests-failed", "requests-slow", "mean-seconds", "canary", "aa", "holdback", "kept", "feedback") %}{% if claims[name] is defined %}<li>{{ claims[name].statement }}</li>{% endif %}{% endfor %}</ul>
{{ chart("traffic", "Requests a second at the front door, and failed ones") }}
{{ chart("latency", "Time to answer at the front door: half of the requests (p50) and 95 of 100 (p95) are faster") }}
{% if report.features %}{{ chart("variants", "Failed and slow requests of users with and without each feature") }}{% endif %}
{% if report.features %}<div class="wide"><table>
<tr><th>feature</th><th>variant</th><th class="number">requests</th><th class="number">errors</th><th class="number">slow</th><th class="number">mean</th><th class="number">orders</th><th class="number">good / bad feedback</th></tr>
{% for feature, arms in report.features.items() %}{% for variant in ("on", "off") %}<tr><td>{{ feature }}</td><td>{{ variant }}</td>
{{ n(arms[variant].requests | number) }}{{ n(arms[variant].errors | number) }}
{{ n(arms[variant].slow | number) }}{{ n(arms[variant].mean_seconds | milliseconds) }}{{ n(arms[variant].orders | number) }}<td class="number">{{ arms[variant].good | number }} / {{ arms[variant].bad | number }}</td></tr>
{% endfor %}{% endfor %}</table></div>{% endif %}</section>

<section><h2>Steps and hosts</h2>
{{ chart("timeline", "Steps of the rollout, and when each host was out of traffic") }}
<div class="wide"><table><tr><th>step</th><th>state</th><th>began</th><th class="number">took</th><th>where it failed</th></tr>
{% for row in report.steps %}<tr><td>{{ row.step }}</td><td>{{ badge(row.state) }}</td><td>{{ row.started | time_of_day }}</td>
{{ n(row.seconds | seconds) }}<td>{% if row.error %}{{ row.host }}, {{ row.task }}: <code>{{ row.error }}</code>{% endif %}</td></tr>
{% endfor %}</table></div>
<div class="wide"><table><tr><th>host</th><th>before</th><th>now</th><th>in traffic</th><th>lines</th></tr>
{% for row in report.hosts %}<tr><td>{{ row.host }}</td><td>{{ row.before or "nothing" }}</td>
<td>{{ row.after or row.before or "nothing" }} ({{ row.now }})</td><td>{{ "yes" if row.in_traffic else "no" }}</td>
<td class="lines">{{ row.evidence | ranges }}</td></tr>
{% endfor %}</table></div></section>

<section><h2>Times, and the way back</h2><ul>
{% for name in ("asked", "bad-to-flags-off", "bad-to-hosts-back", "noticed-to-safe", "duration", "way-back", "rehearsal")
if name in claims and claims[name].status != "not needed" or name in ("bad-to-flags-off", "way-back") %}<li>{{ claims[name].statement }} <small>({{ claims[name].evidence | ranges }})</small></li>
{% endfor %}</ul></section>

<section><h2>Database</h2><ul>
{% for name in ("backup", "backup-first", "migrations", "phases", "lock-waits") if name in claims %}<li>{{ claims[name].statement }} <small>({{ claims[name].evidence | ranges }})</small></li>
{% endfor %}</ul></section>

<section><h2>Smoke tests, alerts, dashboard, doors</h2><ul>
{% for name in ("features-smoked", "validated", "alerts", "health-check", "dashboard", "headers", "closed", "strangers") %}<li>{{ badge(claims[name].status) }} {{ claims[name].statement }} <small>({{ claims[name].evidence | ranges }})</small></li>
{% endfor %}</ul></section>

<section><h2>Assessment</h2><div class="wide"><table><tr><th>quality</th><th>status</th><th>from what was measured</th></tr>
{% for name, row in report.assessment.items() %}<tr><td>{{ name }}</td><td>{{ badge(row.status) }}</td><td>{{ row.text }}</td></tr>
{% endfor %}</table></div></section>

<section><h2>Plan and risk profile</h2><p class="soft">Recorded before anything changed: line {{ claims["plan"].evidence | ranges }} of the ledger.</p>
<div class="wide"><table><tr><th>step</th><th>what could go wrong</th><th>how it would be seen</th><th>what then</th><th>what undoes it</th></tr>
{% for row in report.plan %}<tr><td>{{ row.step }}{{ " %s %%" % row.stage if row.stage else "" }}{% if row.point_of_no_return %}<br><span class="badge FAIL">point of no return</span>{% endif %}</td><td>{{ row.risk }}</td><td>{{ row.seen_by }}</td><td>{{ row.then }}</td><td>{{ row.undo }}</td></tr>
{% endfor %}</table></div></section>

<section><h2>Every claim</h2><div class="wide"><table><tr><th>claim</th><th>status</th><th>statement</th><th>lines</th><th>how to recompute</th></tr>
{% for claim in report.claims %}<tr id="claim-{{ claim.id }}"><td>{{ claim.id }}</td><td>{{ badge(claim.status) }}</td><td>{{ claim.statement }}</td>
<td class="lines">{{ claim.evidence | ranges }}</td><td class="soft">{{ claim.recompute }}</td></tr>
{% endfor %}</table></div>
<p class="soft">Made from the ledger up to line {{ report.ledger.through }}, hash <code>{{ report.ledger.hash }}</code>. Check it: <code>make check-report LEDGER=ledger.jsonl REPORT=.</code></p></section>
</main></body></html>
"""  # noqa: E501


def render(report: dict[str, Any], charts: dict[str, str]) -> str:
    """report.html; `charts` are svg elements by name, a missing one is called not measured."""
    environment = templates.environment(autoescape=True)
    template = environment.from_string(TEMPLATE)
    return str(
        template.render(
            report=report, charts=charts, style=STYLE, claims={claim["id"]: claim for claim in report["claims"]}
        )
    )
