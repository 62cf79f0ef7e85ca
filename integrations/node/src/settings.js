// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What the application says in its one call, checked once. An error names the option, the value and what to write. */

const fs = require("node:fs");
const path = require("node:path");
const { register } = require("prom-client");
const { BUCKETS } = require("./metrics");
const { parseRoute } = require("./routes");

/**
 * @typedef {import("node:http").IncomingMessage} Request
 * @typedef {(request: Request) => string | null | undefined} User
 *
 * @typedef {object} Options
 * @property {Record<string, string[]>} [features] {flag: its routes}, like {search: ["/api/search"]}
 * @property {() => unknown} [ready] may this host take traffic? Not when it throws, rejects, or returns a text that
 *   says why
 * @property {string[]} [routes] further routes to count apart; Fastify tells its own
 * @property {User} [user] the targeting key of a request; without it, or where it returns nothing: the cookie
 * @property {string} [cookie] default: visitor; made where it is missing
 * @property {Record<string, string>} [counters] {name without _total: help} of counters of what users do, for `count`
 * @property {number[]} [buckets] bounds of the histograms in seconds; one must be gate.slow_seconds of the manifest
 * @property {string} [flagsFile] default: FLAGS_FILE of the environment, or /etc/gradual/<application>/flags.json
 * @property {string} [root] the directory of .release.json; default: the working directory
 * @property {import("prom-client").Registry} [registry] where the metrics are; default: that of prom-client
 * @property {(sentence: string) => void} [log] default: standard error
 */

const KNOWN = [
  "features",
  "ready",
  "routes",
  "user",
  "cookie",
  "counters",
  "buckets",
  "flagsFile",
  "root",
  "registry",
  "log",
];

class SettingsError extends TypeError {}

/**
 * @param {unknown} condition
 * @param {string} what
 * @param {unknown} got
 * @param {string} write
 */
function insist(condition, what, got, write) {
  if (condition) return;
  throw new SettingsError(`gradual(): ${what} is ${JSON.stringify(got) ?? String(got)}; write ${write}`);
}

/**
 * @param {string} what
 * @param {unknown} given
 */
function routesOf(what, given) {
  insist(Array.isArray(given), what, given, 'a list of routes like ["/api/search", "POST /api/orders"]');
  return /** @type {unknown[]} */ (given).map((text, number) => {
    const route = parseRoute(text);
    insist(route, `${what}[${number}]`, text, 'a route like "/api/search" or "POST /api/orders"');
    return /** @type {{ methods: string[], route: string }} */ (route);
  });
}

/**
 * What runs here: .release.json as it is when the process starts.
 * @param {string} root
 */
function releaseOf(root) {
  const file = path.join(root, ".release.json");
  try {
    const { application = null, release = null, digest = null } = JSON.parse(fs.readFileSync(file, "utf8"));
    return { application, release, digest };
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") {
      return { application: path.basename(path.resolve(root)), release: null, digest: null };
    }
    throw new SettingsError(`${file} cannot be read: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {Options} options */
function settingsOf(options) {
  const unknown = Object.keys(options).filter((name) => !KNOWN.includes(name));
  insist(unknown.length === 0, "an option", unknown[0], `one of ${KNOWN.join(", ")}`);
  const features = Object.entries(options.features ?? {}).map(([flag, routes]) => ({
    flag,
    routes: routesOf(`features.${flag}`, routes),
  }));
  const release = releaseOf(options.root ?? ".");
  const flagsFile =
    options.flagsFile || process.env.FLAGS_FILE || `/etc/gradual/${release.application}/flags.json`;
  const { user, cookie = "visitor" } = options;
  insist(user === undefined || typeof user === "function", "user", user, "a function that returns the targeting key");
  insist(typeof cookie === "string" && /^[\w-]+$/.test(cookie), "cookie", cookie, "the name of a cookie");
  const ready = options.ready ?? (() => undefined);
  insist(typeof ready === "function", "ready", ready, "a function");
  const buckets = options.buckets ?? BUCKETS;
  const rising = Array.isArray(buckets) && buckets.every((bound, number) => bound > (buckets[number - 1] ?? 0));
  insist(rising && buckets.length > 0, "buckets", buckets, "bounds in seconds, rising, like [0.1, 0.5, 1]");
  const log = options.log ?? ((/** @type {string} */ sentence) => void process.stderr.write(`gradual: ${sentence}\n`));
  return {
    features,
    routes: routesOf("routes", options.routes ?? []),
    flagsFile,
    user,
    cookie,
    ready,
    buckets,
    counters: options.counters ?? {},
    release,
    registry: options.registry ?? register,
    log,
  };
}

module.exports = { SettingsError, settingsOf };
