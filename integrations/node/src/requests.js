// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What surrounds every request: the user, the flags, the metrics. */

const crypto = require("node:crypto");
const onHeaders = require("on-headers");
const { METHODS } = require("./metrics");
const { Routes, pathOf } = require("./routes");

/**
 * @typedef {import("node:http").IncomingMessage} Request
 * @typedef {import("node:http").ServerResponse} Response
 * @typedef {import("./flags").Has} Has
 * @typedef {ReturnType<typeof import("./settings").settingsOf>} Settings
 */

/** Requests with this header are Gradual's own: they count under this route, and for no feature. */
const PROBE_HEADER = "x-gradual-probe";
const PROBE_ROUTE = "gradual-probe";
const UNMATCHED = "unmatched";
const VISITOR = /^[A-Za-z0-9._:-]{1,64}$/;
const VISITOR_SECONDS = 365 * 86400;
const CLOSED_EARLY = 499;

/**
 * @param {Request} request
 * @param {string} name
 */
function cookieOf(request, name) {
  for (const pair of (request.headers.cookie ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

/** One request, as `request.gradual`. */
class Use {
  /**
   * @param {Requests} requests
   * @param {Request} request
   * @param {Response} response
   */
  constructor(requests, request, response) {
    this.requests = requests;
    this.request = request;
    this.response = response;
    /** @type {Map<string, Has>} */
    this.evaluated = new Map();
    this.keyed = false;
    /** @type {string | undefined} */
    this.found = undefined;
  }

  /**
   * The targeting key of the user; a user without a cookie gets one with the answer.
   * @type {string | undefined}
   */
  get key() {
    if (!this.keyed) {
      this.keyed = true;
      this.found = this.requests.keyOf(this.request, this.response);
    }
    return this.found;
  }

  /**
   * Whether the user has the feature. The answer stays the same for the whole request.
   * @param {string} feature
   */
  on(feature) {
    return this.has(feature).on;
  }

  /**
   * Count what the user thinks of a feature.
   * @param {string} feature
   * @param {"good" | "bad"} opinion
   */
  feedback(feature, opinion) {
    if (opinion !== "good" && opinion !== "bad") throw new TypeError(`opinion is ${opinion}; write "good" or "bad"`);
    const { variant } = this.has(feature);
    this.requests.metrics.feedback.inc({ feature, variant, opinion });
  }

  /**
   * Count what the user did with a feature, in a counter of the option `counters`.
   * @param {string} name
   * @param {string} feature
   */
  count(name, feature) {
    const counter = this.requests.metrics.counters.get(name);
    if (!counter) throw new TypeError(`${name} is not in counters of gradual(); write its name and help there`);
    counter.inc({ feature, variant: this.has(feature).variant });
  }

  /**
   * @param {string} feature
   * @returns {Has}
   */
  has(feature) {
    let has = this.evaluated.get(feature);
    if (has === undefined) {
      has = this.requests.evaluate(feature, this.key);
      this.evaluated.set(feature, has);
    }
    return has;
  }
}

class Requests {
  /**
   * @param {Settings} settings
   * @param {import("./metrics").Metrics} metrics
   * @param {import("./flags").Flags} flags
   * @param {string[]} addresses of the contract, which are counted under their own names
   */
  constructor(settings, metrics, flags, addresses) {
    this.settings = settings;
    this.metrics = metrics;
    this.flags = flags;
    /** @type {Routes<string>} the features of each route */
    this.plays = new Routes();
    /** @type {Routes<string>} the label of each route */
    this.labels = new Routes();
    for (const address of addresses) this.label({ methods: ["GET"], route: address });
    for (const { flag, routes } of settings.features) {
      metrics.feature(flag);
      for (const route of routes) {
        this.plays.add(route, flag);
        this.label(route);
      }
    }
    for (const route of settings.routes) this.label(route);
    for (const route of [UNMATCHED, PROBE_ROUTE]) metrics.route({ route, methods: [...METHODS, "OTHER"] });
  }

  /**
   * Count a route apart from now on.
   * @param {{ methods: string[], route: string }} route
   */
  label({ methods, route }) {
    this.labels.add({ methods, route }, route);
    const counted = methods.length === 0 ? ["GET", "POST"] : methods;
    this.metrics.route({ route, methods: counted.includes("GET") ? [...counted, "HEAD"] : counted });
  }

  /**
   * Begin to count a request. `label` is the route if the framework knows it.
   * @param {Request & { originalUrl?: string }} request Express keeps the whole url in originalUrl
   * @param {Response} response
   * @param {string} [label]
   * @returns {Use}
   */
  begin(request, response, label) {
    const started = process.hrtime.bigint();
    const method = request.method ?? "";
    const path = pathOf(request.originalUrl ?? request.url ?? "");
    const probe = PROBE_HEADER in request.headers;
    const route = probe ? PROBE_ROUTE : (label ?? this.labels.all(method, path)[0]?.value ?? UNMATCHED);
    const use = new Use(this, request, response);
    const features = this.plays.all(method, path).map((entry) => entry.value);
    for (const feature of features) use.has(feature);
    response.once("close", () => {
      const status = response.writableFinished ? response.statusCode : CLOSED_EARLY;
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      const counted = METHODS.includes(method) ? method : "OTHER";
      this.metrics.requests.inc({ method: counted, route, status: String(status) });
      this.metrics.duration.observe({ route }, seconds);
      if (!probe) this.countFeatures(use, features, status, seconds);
    });
    return use;
  }

  /**
   * @param {Use} use
   * @param {string[]} features of the route
   * @param {number} status
   * @param {number} seconds
   */
  countFeatures(use, features, status, seconds) {
    for (const feature of features) {
      // Without a key nobody can have the feature, so the request belongs to neither side of the comparison.
      if (use.key === undefined) continue;
      const { variant } = use.has(feature);
      this.metrics.featureRequests.inc({ feature, variant, outcome: status >= 500 ? "error" : "ok" });
      this.metrics.featureDuration.observe({ feature, variant }, seconds);
    }
  }

  /**
   * @param {string} feature
   * @param {string | undefined} key the targeting key
   */
  evaluate(feature, key) {
    if (!this.flags.features.includes(feature)) {
      throw new TypeError(`${feature} is not in features of gradual(); write it there with its routes`);
    }
    this.metrics.evaluations.inc({ flag: feature });
    return this.flags.evaluate(feature, key);
  }

  /**
   * The targeting key of a request. A user without a cookie gets one with the answer.
   * @param {Request} request
   * @param {Response} response
   */
  keyOf(request, response) {
    const { key, log } = this.settings;
    if (typeof key === "function") {
      try {
        const found = key(request);
        return typeof found === "string" && found ? found : undefined;
      } catch (error) {
        log(`the function key failed, so every feature is off for this request: ${error}`);
        return undefined;
      }
    }
    const told = cookieOf(request, key);
    if (told !== undefined && VISITOR.test(told)) return told;
    const made = crypto.randomBytes(12).toString("hex");
    if (response.headersSent) return made;
    const https = "encrypted" in request.socket || request.headers["x-forwarded-proto"] === "https";
    const secure = https ? "; Secure" : "";
    const cookie = `${key}=${made}; Path=/; Max-Age=${VISITOR_SECONDS}; HttpOnly; SameSite=Lax${secure}`;
    onHeaders(response, () => void response.appendHeader("Set-Cookie", cookie));
    return made;
  }
}

module.exports = { Requests, Use };
