#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take one look at a stage: fetch the counters since it began, and decide."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_look
short_description: Judge a baking stage and return promote, continue, hold or abort
version_added: 0.1.0
description:
  - Fetches the raw counters of the features since the stage began from Prometheus. Compares users with and without each
    feature, or hosts on the new code with hosts on the old code.
  - You can look as often as you like. The probability that any look stops a harmless release stays below C(gate.alpha).
  - Missing data never passes. Data that is missing now gives V(hold), with a sentence that names it. Intervals in which
    data was missing earlier are left out of the counts of both arms, and are listed in RV(look.counts).
  - RV(look.counts) has all the data, with O(past) all that came after it. The verdict is a pure function of the data
    of the whole stage and of RV(look.settings).
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module, gradual.rollout.prometheus]
options:
  features:
    description: Keys of the features that bake. Needed unless O(cohorts=hosts).
    type: list
    elements: str
  percent:
    description:
      - The stage's share of the users.
      - At 100 there is no control group unless O(holdback) keeps one. Then nothing aborts; a share above a hard limit
        holds. The stage is certified by C(gate.harmless_share), or because it is less than C(gate.margin) times as bad
        as all users were in the C(bake.max) seconds before it.
    type: int
    required: true
  since:
    description: When the stage began, in seconds since the epoch. Samples before it are not used.
    type: float
    required: true
  gate:
    description:
      - Settings of the gate as in the release manifest.
      - V(alpha), V(certify_alpha), V(tolerated_ratio), V(margin), V(slow_seconds), V(hard_error_share),
        V(hard_slow_share), V(harmless_share), V(min_requests), V(on_no_data).
    type: dict
    default: {}
  bake:
    description: V(min), V(max), V(look) and V(deadline) of the stage in seconds; V(deadline) is one and a half times
      V(max) if left out. The others have the defaults of the release manifest.
    type: dict
    default: {}
  stages:
    description: Shares of the whole ramp. Alpha is divided among them.
    type: list
    elements: int
    default: [25, 50, 100]
  aa:
    description:
      - Start and end of the A/A stage, before any user had the feature. The gate takes the difference between the arms
        in that time into account.
      - The variants C(aa25), C(aa50) and so on show which users get the feature in which stage.
      - With O(cohorts=hosts), any time in which all hosts ran the same code. Only the part counts in which Prometheus
        has data of all hosts and none restarted. Without such a part, the hosts are assumed to be equal.
    type: dict
    suboptions:
      since:
        description: Seconds since the epoch.
        type: float
        required: true
      until:
        description: Seconds since the epoch.
        type: float
        required: true
  metrics:
    description:
      - Counters to judge besides errors and slow answers, as C(gate.metrics) of the release manifest.
      - Each has V(name), V(counter), V(labels), V(harm), V(role) and V(weight). One with the name V(errors) or V(slow)
        sets role and weight of that metric.
    type: list
    elements: dict
    default: []
  holdback:
    description: Percentage of users who do not get the features while 100 % bakes.
    type: int
    default: 0
  cohorts:
    description:
      - Compare users by their flag variant, or hosts by their release.
      - For hosts, all requests count except the O(platform_routes) and C(gradual-probe).
    type: str
    choices: [users, hosts]
    default: users
  treatment_hosts:
    description: Hosts (label C(host)) on the new code, with O(cohorts=hosts).
    type: list
    elements: str
    default: []
  control_hosts:
    description: Hosts on the old code, with O(cohorts=hosts).
    type: list
    elements: str
    default: []
  hosts:
    description: Hosts (label C(host)) that must have data. The default is all hosts that Prometheus has for O(job).
    type: list
    elements: str
    default: []
  job:
    description: The job in Prometheus that scrapes the application.
    type: str
    default: application
  platform_routes:
    description: Routes that the balancer, Prometheus and Gradual request by themselves.
    type: list
    elements: str
    default: [/healthz, /readyz, /version, /metrics]
  not_before:
    description: Time of the look, in seconds since the epoch. The module waits until then, at most ten minutes.
    type: float
  early:
    description: Verdicts that do not wait for O(not_before). The module looks twice a second, and returns as soon as it
      sees one of them. Looks that cost much are rarer, so that they take at most a fifth of one core.
    type: list
    elements: str
    choices: [promote, continue, hold, abort]
    default: []
  past:
    description:
      - RV(past) of the look before at the same stage. The module then fetches what came after it. The verdict is the
        same as without it, and a look costs the same however long the stage has lasted.
      - Without it, or when the scrape interval has changed, the module fetches everything since the stage began.
    type: dict
  timeout:
    description: Seconds to wait for one answer of Prometheus.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look at 25 %
  gradual.rollout.gate_look:
    prometheus: http://127.0.0.1:9090
    features: [search]
    percent: 25
    since: 1790000000.5
    gate: {slow_seconds: 0.5}
    bake: {min: 60, max: 600, look: 10}
  register: look
  until: look.verdict in ['promote', 'abort'] or look.deadline_passed

- name: Look at 25 % after an A/A stage, and judge orders too
  gradual.rollout.gate_look:
    features: [search]
    percent: 25
    since: 1790000400.5
    aa: {since: 1790000000.5, until: 1790000300.5}
    metrics:
      - {name: orders, counter: feature_orders_total, harm: fewer, role: signal}

- name: Look at a canary host
  gradual.rollout.gate_look:
    cohorts: hosts
    treatment_hosts: [app1]
    control_hosts: [app2, app3]
    percent: 33
    stages: [33, 100]
    since: 1790000400.5
    aa: {since: 1789998000.5, until: 1790000300.5}
"""

RETURN = r"""
verdict:
  description: V(promote), V(continue), V(hold) or V(abort).
  type: str
  returned: success
reason:
  description: Why, in one sentence.
  type: str
  returned: success
  sample: >-
    search errors with the feature 2.9 % of 4,210, without it 1 % of 12,640: at least 1.6 times worse, the
    chance of saying so of a harmless release is under 5 %
deadline_passed:
  description: Whether a hold has lasted so long that RV(on_no_data) applies.
  type: bool
  returned: success
on_no_data:
  description: The policy, V(rollback) or V(manual).
  type: str
  returned: success
first_bad_at:
  description: Start of the first interval with a bad answer to a user with the feature, in seconds since the epoch.
  type: float
  returned: success
look:
  description: The whole look for the ledger, with the four values above.
  type: dict
  returned: success
  contains:
    percent:
      description: The stage.
      type: int
      returned: success
    elapsed:
      description: Seconds since the stage began.
      type: float
      returned: success
    intervals:
      description: Number of intervals with data.
      type: int
      returned: success
    metrics:
      description: For each feature and metric the counts of both arms, the e-value against the tolerated ratio, its
        verdict and reason.
      type: list
      elements: dict
      returned: success
    counts:
      description: All the data, as the gate reads it. With O(past), C(rows_kept) of each metric says how many rows at
        the beginning are left out. The looks before have them.
      type: dict
      returned: success
    settings:
      description: The settings with their defaults. Together with RV(look.counts) they reproduce the verdict.
      type: dict
      returned: success
past:
  description: The sum of what later looks at this stage need not fetch again, for O(past) of the next look. Empty as
    long as a late sample may change everything, and after a look without data.
  type: dict
  returned: success
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past, past_of
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError, Settings, settings_from
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import options as prometheus_options
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import PrometheusError

ARGUMENTS = {
    **prometheus_options.ARGUMENTS,
    "features": {"type": "list", "elements": "str"},
    "percent": {"type": "int", "required": True},
    "since": {"type": "float", "required": True},
    "gate": {"type": "dict", "default": {}},
    "bake": {"type": "dict", "default": {}},
    "stages": {"type": "list", "elements": "int", "default": [25, 50, 100]},
    "aa": {"type": "dict", "options": {key: {"type": "float", "required": True} for key in ("since", "until")}},
    "metrics": {"type": "list", "elements": "dict", "default": []},
    "holdback": {"type": "int", "default": 0},
    "cohorts": {"type": "str", "choices": ["users", "hosts"], "default": "users"},
    "treatment_hosts": {"type": "list", "elements": "str", "default": []},
    "control_hosts": {"type": "list", "elements": "str", "default": []},
    "platform_routes": {"type": "list", "elements": "str", "default": list(metrics.PLATFORM)},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "job": {"type": "str", "default": "application"},
    "not_before": {"type": "float"},
    "early": {
        "type": "list",
        "elements": "str",
        "choices": ["promote", "continue", "hold", "abort"],
        "default": [],
    },
    "past": {"type": "dict"},
    "timeout": {"type": "float", "default": 10},
}
LONGEST_WAIT = 600.0
# Seconds between two looks while the module waits for an early verdict, and how many times the last look's seconds of
# CPU they are at least. On a busy host a look lasts longer without costing more.
PAUSE = 0.5
REST = 4.0

Json = t.Dict[str, t.Any]


def stage_of(options: Json, settings: Settings, now: float) -> Stage:
    """What to look at; raises GateError naming the option, its value and what to write."""
    if now < options["since"]:
        raise GateError(
            f"since is {options['since']}, which is in the future of this host ({now:.0f}); compare the clocks"
        )
    aa = options["aa"] and (options["aa"]["since"], options["aa"]["until"])
    if aa and not aa[0] < aa[1] <= options["since"]:
        raise GateError(f"aa is from {aa[0]} to {aa[1]}; write a time before since, which is {options['since']}")
    both = sorted(set(options["treatment_hosts"]) & set(options["control_hosts"]))
    if both or (options["cohorts"] == "hosts" and not (options["treatment_hosts"] and options["control_hosts"])):
        raise GateError(
            f"treatment_hosts is {options['treatment_hosts']} and control_hosts {options['control_hosts']}; name each"
            " host once, some in each"
        )
    if not 0 <= options["holdback"] < 100:
        raise GateError(f"holdback is {options['holdback']}; write a percentage from 0 to 50")
    named = {
        key: options[key]
        for key in (
            "percent",
            "since",
            "job",
            "hosts",
            "stages",
            "metrics",
            "holdback",
            "cohorts",
            "treatment_hosts",
            "control_hosts",
            "platform_routes",
        )
    }
    return Stage(
        features=options["features"] or (),
        until=round(now, 3),
        slow_seconds=settings.slow_seconds,
        lookback=settings.max,
        aa=aa or None,
        **named,
    )


def look(options: Json, now: float) -> t.Tuple[Json, t.Optional[Past]]:
    """Fetch and judge; returns all there is to record of one look, and the past of the next one."""
    settings = settings_from(options["gate"], options["bake"])
    stage = stage_of(options, settings, now)
    past = past_of(options["past"], stage.since)
    return gate_look.look(prometheus_options.prometheus_of(options), stage, settings, past)


def watch(options: Json) -> t.Tuple[Json, t.Optional[Past]]:
    """The look at not_before, or an earlier one whose verdict is in `early`, and the past of the next one.

    All looks have the past that was given, since the rows of those that nobody records must be in the one that is."""
    until = min(time.time() + LONGEST_WAIT, options["not_before"] or 0.0)
    while options["early"] and time.time() < until:
        began = time.process_time()
        seen, past = look(options, time.time())
        if seen["verdict"] in options["early"]:
            return seen, past
        time.sleep(min(max(0.0, until - time.time()), max(PAUSE, REST * (time.process_time() - began))))
    time.sleep(max(0.0, until - time.time()))
    return look(options, time.time())


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("cohorts", "users", ("features",))]
    )
    try:
        seen, past = watch(module.params)
    except (GateError, PrometheusError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        look=seen,
        past=dataclasses.asdict(past) if past else {},
        **{key: seen[key] for key in ("verdict", "reason", "deadline_passed", "on_no_data", "first_bad_at")},
    )


if __name__ == "__main__":
    main()
