# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the keys of a release manifest must be to one another, and to the inventory. Pure."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Iterable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import listed
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import BUILT_IN
from ansible_collections.gradual.rollout.plugins.module_utils.migration import phases
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import url_mistake, without_secrets
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import waiver
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import RULES

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"})
OWN_LABELS = frozenset({"variant", "job", "host", "instance", "le"})


def shown(value: Any) -> str:
    """A value as a person wrote it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def across(manifest: dict[str, Any], groups: Mapping[str, Any] | None, mistakes: list[str]) -> None:
    """What no field can tell by itself."""
    if "artifact" in manifest:
        wrong = url_mistake(manifest["artifact"].get("url", ""))
        if wrong:
            mistakes.append(
                f"artifact.url: {wrong}, got {shown(without_secrets(manifest['artifact'].get('url', '')))}; write"
                " https://host/path.tar.gz"
            )
        manifest["artifact"]["sha256"] = manifest["artifact"]["sha256"].lower()
    if "stages" in manifest:
        mistakes.extend(_stages(manifest["stages"]))
    if "bake" in manifest:
        mistakes.extend(_bake(manifest["bake"]))
    if "release" in manifest:
        waves = manifest["release"]["waves"]
        mistakes.extend(_waves(waves, (manifest.get("bake") or {}).get("canary") or 0))
        manifest["release"]["waves"] = [int(size) if re.fullmatch(r"\d+", str(size)) else size for size in waves]
    flags = [feature.get("flag") for feature in manifest.get("features", [])]
    if "gate" in manifest:
        mistakes.extend(_gate(manifest["gate"], manifest.get("stages", []), flags))
    mistakes.extend(waiver.mistakes((manifest.get("migrations") or {}).get("waivers", []), RULES))
    mistakes.extend(_phases(manifest.get("migrations") or {}))
    for number, flag in enumerate(flags):
        if flag in flags[:number]:
            mistakes.append(f"features[{number}].flag: twice in the list, got {shown(flag)}; write each flag once")
    for where, probe in _probes(manifest):
        for header in probe.get("headers", {}):
            if header.lower() in SECRET_HEADERS:
                mistakes.append(
                    f"{where}.headers.{header}: would be kept in the record, got {shown(header)}; write user: NAME, or"
                    " probe a path that needs no secret"
                )
    mistakes.extend(_database(manifest, groups))
    if groups is not None:
        mistakes.extend(_hosts(manifest, groups))


def _phases(migrations: dict[str, Any]) -> Iterable[str]:
    """Mistakes of migrations.phases that can be seen without the release."""
    tool = migrations.get("adapter")
    wanted = [key for key in phases.KEYS if key != "app" or tool == "django"]
    for number, entry in enumerate(migrations.get("phases") or []):
        where, given = f"migrations.phases[{number}]", [key for key in phases.KEYS if key in entry]
        if len(given) != 1:
            shown_keys = listed(given) if given else "nothing"
            yield f"{where}: not about one thing, got {shown_keys}; write one of {', '.join(wanted)}"
        elif given[0] not in wanted:
            yield f"{where}.app: {tool} has no apps, got {shown(entry['app'])}; write {' or '.join(wanted)}"
        if len(str(entry.get("reason") or "").split()) < 3:
            yield f"{where}.reason: not a sentence, got {shown(entry.get('reason'))}; write why this phase is right"


def _database(manifest: dict[str, Any], groups: Mapping[str, Any] | None) -> Iterable[str]:
    """Mistakes of a manifest about a database that the inventory does not have, and the other way round."""
    none = (manifest.get("backup") or {}).get("method") == "none"
    if none and manifest.get("migrations"):
        yield 'backup.method: migrations change a database, and need a backup of it, got "none"; write dump'
    elif groups is not None and none and groups.get("database"):
        yield (
            f'backup.method: the inventory has a database ({", ".join(groups["database"])}), got "none"; write dump, or'
            " leave the groups database and database_primary of the inventory empty"
        )
    elif groups is not None and not none and "database" in groups and not groups["database"] and manifest.get("backup"):
        yield (
            "backup.method: the inventory has no database, because its group database is empty, got"
            f" {shown(manifest['backup'].get('method'))}; write none, or write the database hosts into the inventory"
        )


def _hosts(manifest: dict[str, Any], groups: Mapping[str, Any]) -> Iterable[str]:
    for role, group in manifest.get("hosts", {}).items():
        if role == "database" and groups.get("database") == []:
            continue  # there is none, and _database says what the manifest must say of it
        if not groups.get(group):
            state = "has no hosts" if group in groups else "is not in the inventory"
            near = difflib.get_close_matches(group, [name for name, hosts in groups.items() if hosts], 1, 0.6)
            advice = f"write {near[0]}" if near else f"write the group of the {role} hosts, or add it to the inventory"
            yield f"hosts.{role}: a group that {state}, got {shown(group)}; {advice}"
        elif set(groups[group]) != set(groups.get(role) or groups[group]):
            yield (
                f"hosts.{role}: not the hosts that the playbooks run on, got {shown(group)}; write {role}, and make"
                f" {group} its only child in the inventory"
            )
    hosts = groups.get(manifest.get("hosts", {}).get("application")) or []
    if manifest.get("canary") and hosts and manifest["canary"] not in hosts:
        yield f"canary: not one of the application hosts, got {shown(manifest['canary'])}; write {' or '.join(hosts)}"


def _probes(manifest: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, probe in enumerate(manifest.get("smoke", [])):
        yield f"smoke[{number}]", probe
    for number, feature in enumerate(manifest.get("features", [])):
        for place, probe in enumerate(feature.get("smoke", [])):
            yield f"features[{number}].smoke[{place}]", probe


def _stages(stages: list[int]) -> list[str]:
    mistakes = [
        f"stages[{number}]: not a percentage of users, got {stage}; write 1 to 100"
        for number, stage in enumerate(stages)
        if not 1 <= stage <= 100
    ]
    if mistakes:
        return mistakes
    if any(later <= earlier for earlier, later in zip(stages, stages[1:])):
        mistakes.append(f"stages: not rising, got {stages}; write {sorted(set(stages) | {100})}")
    elif not stages or stages[-1] != 100:
        mistakes.append(f"stages: the last one is not 100, got {stages}; write {[*stages, 100]}")
    return mistakes


def _waves(waves: list[Any], canary: int) -> Iterable[str]:
    for number, size in enumerate(waves):
        if not re.fullmatch(r"[1-9]\d{0,4}|([1-9]\d?|100)%", str(size)):
            yield (
                f"release.waves[{number}]: not a number of hosts, got {shown(size)}; write a number such as 5, or a"
                ' percentage of all hosts such as "10%"'
            )
    if not waves:
        yield 'release.waves: empty, got []; write [1, "100%"], or leave it out'
    elif canary and str(waves[0]) != "1":
        yield (
            f"release.waves[0]: the first wave is the canary, which is one host, got {shown(waves[0])}; write"
            f" {shown([1, *waves])}, or bake.canary: 0"
        )


def _bake(bake: dict[str, int]) -> list[str]:
    low, high, look, expiry = bake["min"], bake["max"], bake["look"], bake["expiry"]
    mistakes = []
    if low > high:
        mistakes.append(
            f"bake.min: longer than bake.max, got {low} and {high}; write {high} or less, or a larger bake.max"
        )
    if look > high:
        mistakes.append(f"bake.look: longer than bake.max, got {look} and {high}; write {high} or less")
    if expiry <= look:
        mistakes.append(
            f"bake.expiry: the stage would expire before the next look, got {expiry} with looks every {look} s; write"
            f" {3 * look} or more"
        )
    return mistakes


def _gate(gate: dict[str, Any], stages: list[int], flags: list[Any]) -> Iterable[str]:
    if gate["margin"] <= gate["tolerated_ratio"]:
        seen, least = gate["margin"], gate["tolerated_ratio"]
        yield f"gate.margin: not above gate.tolerated_ratio, got {seen:g} and {least:g}; write more than {least:g}"
    if gate["low_traffic"] == "slo" and not gate.get("harmless_share"):
        yield (
            'gate.low_traffic: certifies by gate.harmless_share, which is missing, got "slo"; write'
            " gate.harmless_share: 0.01, or low_traffic: refuse"
        )
    before = max([stage for stage in stages if stage < 100], default=0)
    if gate["holdback"] and gate["holdback"] >= 100 - before:
        seen, most = gate["holdback"], 99 - before
        yield (
            f"gate.holdback: would take the features from users of the stage of {before} %, got {seen}; write {most}"
            " or less"
        )
    names = [entry["name"] for entry in gate["metrics"] if "name" in entry]
    for number, entry in enumerate(gate["metrics"]):
        where = f"gate.metrics[{number}]"
        if entry.get("name") in names[:number]:
            yield f"{where}.name: twice in the list, got {shown(entry['name'])}; write each name once"
        yield from _metric(where, entry, flags)


def _metric(where: str, entry: dict[str, Any], flags: list[Any]) -> Iterable[str]:
    """Mistakes of one entry of gate.metrics."""
    name = entry.get("name")
    if name in BUILT_IN:
        for key in ("counter", "labels"):
            if entry.get(key):
                yield (
                    f"{where}.{key}: {name} is always counted from the features' own requests, got"
                    f" {shown(entry[key])}; write another name, or no {key}"
                )
        if entry.get("harm") == "fewer":
            yield f'{where}.harm: fewer {name} are no harm, got "fewer"; write more'
        return
    if not entry.get("counter"):
        yield f"{where}.counter: missing, got nothing; write feature_orders_total, or whatever counts {name}"
    for label, value in entry.get("labels", {}).items():
        if label in OWN_LABELS or not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label):
            yield (
                f"{where}.labels: Gradual sets this one itself, or it is no label, got {shown(label)}; write a label"
                " of the counter like opinion"
            )
        elif not isinstance(value, str) or not value:
            yield f"{where}.labels.{label}: not text, got {shown(value)}; write it in quotes"
        elif label == "feature" and value not in flags:
            yield (
                f"{where}.labels.feature: no feature of this release, got {shown(value)}; write"
                f" {' or '.join(map(str, flags)) or 'no label feature'}"
            )
