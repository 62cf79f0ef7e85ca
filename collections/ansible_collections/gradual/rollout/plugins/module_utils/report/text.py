# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The report as Markdown. The template is a Python text because only Python files travel with a module."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.report import templates

TEMPLATE = """\
# {{ report.application }} {{ report.version }}: {{ report.outcome }}

**{{ report.headline }}.** Gate of this report: **{{ report.gate.status }}**
{% if "asked" in claims %}

{{ claims["asked"].statement }}.
{% endif %}

Rollout {{ report.rollout }}, from {{ report.started }} to {{ report.finished or "(not ended)" }}. Artifact {{ report.artifact or "unknown" }}.
{% if report.gate.reasons %}
Why not PASS:
{% for reason in report.gate.reasons %}
- {{ reason }}
{% endfor %}
{% endif %}

## What to do next
{% for step in report.next_steps %}
{{ loop.index }}. {{ step }}
{% else %}
Nothing.
{% endfor %}

## The criteria
| # | criterion | status | evidence (lines of the ledger) |
|---|---|---|---|
{% for row in report.criteria %}
| {{ row.number }} | {{ row.criterion | cell }} | {{ row.status }} | {{ row.claims | evidence(report) | cell }} |
{% endfor %}

## Times
| | |
|---|---|
{% for name in ("asked", "bad-to-flags-off", "bad-to-hosts-back", "noticed-to-safe", "duration", "rehearsal") if name in claims %}
| {{ name }} | {{ (claims[name].statement) | cell }} |
{% endfor %}

## Stages
{% if report.stages %}
| share | set | certified | looks | measured | gate |
|---|---|---|---|---|---|
{% for row in report.stages %}
| {{ row.percent }} % | {{ row.set | time_of_day }} | {{ row.certified | time_of_day }} | {{ row.looks }} | {{ (row.shares | shares | cell) if row.set else "-" }} | {{ (((row.verdict or "did not look") ~ ": " ~ (row.reason or "-")) | cell) if row.set else "not reached" }} |
{% endfor %}
{% else %}
{{ claims["stages"].statement if "stages" in claims else "None." }}
{% endif %}

## Users
{% for name in ("with-all-users", "requests-failed", "requests-slow", "mean-seconds", "canary", "aa", "holdback", "kept", "watched", "feedback") %}{% if name in claims %}
- {{ claims[name].statement }}
{% endif %}{% endfor %}
{% if report.features %}

| feature | variant | requests | errors | slow | mean | orders | feedback good / bad |
|---|---|---|---|---|---|---|---|
{% for feature, arms in report.features.items() %}{% for variant in ("on", "off") %}
| {{ feature }} | {{ variant }} | {{ arms[variant].requests | number }} | {{ arms[variant].errors | number }} | {{ arms[variant].slow | number }} | {{ arms[variant].mean_seconds | milliseconds }} | {{ arms[variant].orders | number }} | {{ arms[variant].good | number }} / {{ arms[variant].bad | number }} |
{% endfor %}{% endfor %}
{% endif %}

## Database
{% for name in ("backup", "backup-first", "migrations", "phases", "lock-waits") %}{% if name in claims %}
- {{ claims[name].statement }}
{% endif %}{% endfor %}

## Steps and hosts
| step | state | began | took | where it failed |
|---|---|---|---|---|
{% for row in report.steps %}
| {{ row.step }} | {{ row.state }} | {{ row.started | time_of_day }} | {{ row.seconds | seconds }} | {{ (row.host ~ ", " ~ row.task ~ ": " ~ row.error if row.error else "-") | cell }} |
{% endfor %}

| host | before | now | in traffic |
|---|---|---|---|
{% for row in report.hosts %}
| {{ row.host }} | {{ row.before or "nothing" }} | {{ row.after or row.before or "nothing" }} ({{ row.now }}) | {{ "yes" if row.in_traffic else "no" }} |
{% endfor %}

## Assessment
| quality | status | from what was measured |
|---|---|---|
{% for name, row in report.assessment.items() %}
| {{ name }} | {{ row.status }} | {{ row.text | cell }} |
{% endfor %}

## Risk profile
The plan that was recorded before anything changed (line {{ claims["plan"].evidence | join(", ") or "none" }} of the ledger).

| step | what could go wrong | how it would be seen | what then | what undoes it |
|---|---|---|---|---|
{% for row in report.plan %}
| {{ row.step }}{{ " %s %%" % row.stage if row.stage else "" }} | {{ row.risk | cell }} | {{ row.seen_by | cell }} | {{ row.then | cell }} | {{ row.undo | cell }} |
{% endfor %}

## Every claim
| claim | status | statement | ranges | how to recompute |
|---|---|---|---|---|
{% for claim in report.claims %}
| {{ claim.id }} | {{ claim.status }} | {{ claim.statement | cell }} | {{ claim.evidence | ranges }} | {{ claim.recompute | cell }} |
{% endfor %}

Made from the ledger up to line {{ report.ledger.through }} (hash {{ report.ledger.hash[:16] }}…). Check it: `make check-report LEDGER=ledger.jsonl REPORT=.`
"""  # noqa: E501


def cell(value: Any) -> str:
    """A text that stays within its cell of a Markdown table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def render(report: dict[str, Any]) -> str:
    """report.md."""
    environment = templates.environment(autoescape=False, cell=cell)
    return str(
        environment.from_string(TEMPLATE).render(
            report=report, claims={claim["id"]: claim for claim in report["claims"]}
        )
    )
