// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The metrics of the contract. Every series is created at 0: one that first appears at 1 hides the first error. */

const client = require("prom-client");

const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** A process that has seen more variants of a feature counts further ones as on or off. */
const MOST_VARIANTS = 24;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** The statuses that a route is expected to answer. 499: the client closed the connection before the answer. */
const STATUSES = [200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 409, 422, 429, 499, 500, 502, 503, 504];
const OUTCOMES = ["ok", "error"];
const OPINIONS = ["good", "bad"];

/** @typedef {{ route: string, methods: string[] }} Route */

class Metrics {
  /**
   * @param {client.Registry} registry
   * @param {Record<string, string>} counters further counters of what users do: {name without _total: help}
   * @param {number[]} bounds of the histograms, in seconds
   */
  constructor(registry, counters, bounds) {
    const registers = [registry];
    /**
     * @param {string} name
     * @param {string} help
     * @param {string[]} labelNames
     */
    const counter = (name, help, labelNames) => new client.Counter({ name, help, labelNames, registers });
    /**
     * @param {string} name
     * @param {string} help
     * @param {string[]} labelNames
     */
    const gauge = (name, help, labelNames) => new client.Gauge({ name, help, labelNames, registers });
    /**
     * @param {string} name
     * @param {string} help
     * @param {string[]} labelNames
     */
    const histogram = (name, help, labelNames) =>
      new client.Histogram({ name, help, labelNames, buckets: bounds, registers });

    this.registry = registry;
    this.requests = counter("http_requests_total", "Requests answered.", ["method", "route", "status"]);
    this.duration = histogram("http_request_duration_seconds", "Time to answer.", ["route"]);
    this.featureRequests = counter(
      "feature_requests_total",
      "Requests on the routes of a feature, by the variant that the user has.",
      ["feature", "variant", "outcome"],
    );
    this.featureDuration = histogram(
      "feature_request_duration_seconds",
      "Time to answer, by the variant that the user has.",
      ["feature", "variant"],
    );
    this.feedback = counter("feature_feedback_total", "What users say.", ["feature", "variant", "opinion"]);
    this.counters = new Map(
      Object.entries(counters).map(([name, help]) => [name, counter(`${name}_total`, help, ["feature", "variant"])]),
    );
    this.evaluations = counter("feature_evaluations_total", "Evaluations of a flag for a user.", ["flag"]);
    this.revisions = gauge("feature_flag_revision", "Revision that this process evaluates.", ["flag", "pid"]);
    this.shares = gauge("feature_flag_share", "Share of 100 fixed users who have the feature.", ["flag", "pid"]);
    this.file = gauge("feature_flag_file_readable", "1 while the flag file can be evaluated, else 0.", ["pid"]);
    this.pid = String(process.pid);
    /** @type {Map<string, Set<string>>} */
    this.known = new Map();
  }

  /**
   * Create the series of a route. Again: nothing happens.
   * @param {Route} route
   */
  route({ route, methods }) {
    this.duration.zero({ route });
    for (const method of methods) {
      for (const status of STATUSES) this.requests.inc({ method, route, status: String(status) }, 0);
    }
  }

  /**
   * Create the series of a feature.
   * @param {string} feature
   */
  feature(feature) {
    this.evaluations.inc({ flag: feature }, 0);
    this.revision(feature, 0);
    this.share(feature, 0);
    this.variant(feature, "on", true);
    this.variant(feature, "off", false);
  }

  /**
   * The label of a variant, whose series exist from then on. Without a variant, or with too many, it is on or off.
   * @param {string} feature
   * @param {string | undefined} variant
   * @param {boolean} value
   */
  variant(feature, variant, value) {
    const known = this.known.get(feature) ?? new Set();
    if (variant !== undefined && known.has(variant)) return variant;
    if (variant === undefined || known.size >= MOST_VARIANTS) return value ? "on" : "off";
    this.known.set(feature, known.add(variant));
    this.featureDuration.zero({ feature, variant });
    for (const outcome of OUTCOMES) this.featureRequests.inc({ feature, variant, outcome }, 0);
    for (const opinion of OPINIONS) this.feedback.inc({ feature, variant, opinion }, 0);
    for (const counter of this.counters.values()) counter.inc({ feature, variant }, 0);
    return variant;
  }

  /**
   * @param {string} feature
   * @param {number} revision
   */
  revision(feature, revision) {
    this.revisions.set({ flag: feature, pid: this.pid }, revision);
  }

  /**
   * @param {string} feature
   * @param {number} share from 0 to 1
   */
  share(feature, share) {
    this.shares.set({ flag: feature, pid: this.pid }, share);
  }

  /** @param {boolean} readable */
  readable(readable) {
    this.file.set({ pid: this.pid }, readable ? 1 : 0);
  }
}

module.exports = { BUCKETS, METHODS, Metrics, OPINIONS };
