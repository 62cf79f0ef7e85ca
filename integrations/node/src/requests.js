// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What surrounds every request: the user, the flags, the metrics. */

const crypto = require("node:crypto");
const onHeaders = require("on-headers");
const { METHODS, OPINIONS } = require("./metrics");
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
    /** @type {string | undefined} */
    this.key = undefined;
  }

  /** Whether Gradual itself asks, not a user. */
  get isProbe() {
    return PROBE_HEADER in this.request.headers;
  }

  /** The targeting key of the user. A user without a cookie gets one with the answer. */
  get user() {
    this.key ??= this.requests.keyOf(this.request, this.response);
    return this.key;
  }

  /**
   * Whether the user has the feature. The answer stays the same for the whole request.
   * @param {string} feature
   */
  isOn(feature) {
    return this.has(feature).on;
  }

  /**
   * Count what the user says of a feature.
   * @param {string} feature
   * @param {"good" | "bad"} opinion
   */
  feedback(feature, opinion) {
    const { features } = this.requests.flags;
    if (!OPINIONS.includes(opinion) || !features.includes(feature)) {
      const expected = `expected good or bad on one of ${features.join(", ")}`;
      throw new TypeError(`feedback on ${feature} is ${opinion}; ${expected}`);
    }
    if (this.isProbe) return;
    this.requests.metrics.feedback.inc({ feature, variant: this.has(feature).variant, opinion });
  }

  /**
   * Count one for each feature, by the variant that the user has of it.
   * @param {string} name of the option `counters`
   */
  count(name) {
    const counter = this.requests.metrics.counters.get(name);
    if (!counter) throw new TypeError(`${name} is not in counters of gradual(); write its name and help there`);
    if (this.isProbe) return;
    for (const feature of this.requests.flags.features) counter.inc({ feature, variant: this.has(feature).variant });
  }

  /**
   * What the user has of a feature; evaluated once a request.
   * @param {string} feature
   * @returns {Has}
   */
  has(feature) {
    let has = this.evaluated.get(feature);
    if (has === undefined) {
      has = this.requests.evaluate(feature, this.user);
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
    /** @type {Set<string>} */
    this.complaints = new Set();
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
    const use = new Use(this, request, response);
    const probe = use.isProbe;
    const route = probe ? PROBE_ROUTE : (label ?? this.labels.all(method, path)[0]?.value ?? UNMATCHED);
    const features = probe ? [] : this.plays.all(method, path).map((entry) => entry.value);
    if (features.length > 0) void use.user; // while a cookie can still be sent
    response.once("close", () => {
      const status = response.writableFinished ? response.statusCode : CLOSED_EARLY;
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      const counted = METHODS.includes(method) ? method : "OTHER";
      this.metrics.requests.inc({ method: counted, route, status: String(status) });
      this.metrics.duration.observe({ route }, seconds);
      this.countFeatures(use, features, status, seconds);
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
      // Who was refused before the flag was looked at belongs to neither arm.
      if (status >= 400 && status < 500 && !use.evaluated.has(feature)) continue;
      const { variant } = use.has(feature);
      this.metrics.featureRequests.inc({ feature, variant, outcome: status >= 500 ? "error" : "ok" });
      this.metrics.featureDuration.observe({ feature, variant }, seconds);
    }
  }

  /**
   * @param {string} feature
   * @param {string} key the targeting key
   * @returns {Has}
   */
  evaluate(feature, key) {
    if (!this.flags.features.includes(feature)) {
      this.complain(`feature ${feature} is none of ${this.flags.features.join(", ")}: it is off`);
      return { on: false, variant: "off" };
    }
    this.metrics.evaluations.inc({ flag: feature });
    return this.flags.evaluate(feature, key);
  }

  /** @param {string} sentence logged once */
  complain(sentence) {
    if (this.complaints.has(sentence)) return;
    this.complaints.add(sentence);
    this.settings.log(sentence);
  }

  /**
   * The targeting key: what `user` says, else the cookie, else a new one, which becomes the user's cookie.
   * @param {Request} request
   * @param {Response} response
   */
  keyOf(request, response) {
    const { user, cookie: name } = this.settings;
    try {
      const key = user?.(request);
      if (key) return String(key);
    } catch (error) {
      this.complain(`user failed, so the cookie ${name} is the targeting key: ${error}`);
    }
    const told = cookieOf(request, name);
    if (told !== undefined && VISITOR.test(told)) return told;
    const made = crypto.randomBytes(12).toString("hex");
    if (response.headersSent) return made;
    const https = "encrypted" in request.socket || request.headers["x-forwarded-proto"] === "https";
    const secure = https ? "; Secure" : "";
    const cookie = `${name}=${made}; Path=/; Max-Age=${VISITOR_SECONDS}; HttpOnly; SameSite=Lax${secure}`;
    onHeaders(response, () => void response.appendHeader("Set-Cookie", cookie));
    return made;
  }
}

module.exports = { Requests, Use };
