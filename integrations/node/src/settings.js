// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What the application says in its one call, checked once. Each error names the setting, the value and what to write. */

const fs = require("node:fs");
const { register } = require("prom-client");
const { BUCKETS } = require("./metrics");
const { parseRoute } = require("./routes");

/**
 * @typedef {import("node:http").IncomingMessage} Request
 * @typedef {(request: Request) => string | undefined} Key
 *
 * @typedef {object} Options
 * @property {Record<string, string[]>} [features] {flag: its routes}, like {search: ["/api/search"]}
 * @property {() => unknown} [ready] may this host take traffic? Not when it throws, rejects, or gives false or a
 *   sentence that says why
 * @property {string[]} [routes] further routes to count apart; Fastify tells its own
 * @property {string | Key} [key] name of the cookie of the user, or a function that gives the targeting key
 * @property {Record<string, string>} [counters] {name: help} of counters of what users do with a feature
 * @property {number[]} [buckets] bounds of the histograms in seconds; one must be gate.slow_seconds of the manifest
 * @property {string} [flagsFile] path of the flag file; default: FLAGS_FILE of the environment
 * @property {string} [releaseFile] path of .release.json; default: the one in the working directory
 * @property {import("prom-client").Registry} [registry] where the metrics are; default: that of prom-client
 * @property {(sentence: string) => void} [log] default: standard error
 */

const KNOWN = [
  "features",
  "ready",
  "routes",
  "key",
  "counters",
  "buckets",
  "flagsFile",
  "releaseFile",
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
  if (!condition) throw new SettingsError(`gradual(): ${what} is ${JSON.stringify(got) ?? String(got)}; write ${write}`);
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
 * @param {string} path
 */
function releaseOf(path) {
  try {
    const { application = null, release = null, digest = null } = JSON.parse(fs.readFileSync(path, "utf8"));
    return { application, release, digest };
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") {
      return { application: null, release: "unreleased", digest: null };
    }
    throw new SettingsError(`${path} cannot be read: ${/** @type {Error} */ (error).message}`);
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
  const flagsFile = options.flagsFile ?? process.env.FLAGS_FILE ?? "";
  insist(
    flagsFile || features.length === 0,
    "the path of the flag file",
    flagsFile,
    "FLAGS_FILE=/etc/gradual/<application>/flags.json into the environment, or flagsFile",
  );
  const key = options.key ?? "visitor";
  insist(
    typeof key === "function" || (typeof key === "string" && /^[\w-]+$/.test(key)),
    "key",
    key,
    "the name of a cookie, or a function of the request that gives the targeting key",
  );
  const ready = options.ready ?? (() => true);
  insist(typeof ready === "function", "ready", ready, "a function");
  const buckets = options.buckets ?? BUCKETS;
  const rising = Array.isArray(buckets) && buckets.every((bound, number) => bound > (buckets[number - 1] ?? 0));
  insist(rising && buckets.length > 0, "buckets", buckets, "bounds in seconds, rising, like [0.1, 0.5, 1]");
  const log = options.log ?? ((/** @type {string} */ sentence) => void process.stderr.write(`gradual: ${sentence}\n`));
  return {
    features,
    routes: routesOf("routes", options.routes ?? []),
    flagsFile,
    key,
    ready,
    buckets,
    counters: options.counters ?? {},
    release: releaseOf(options.releaseFile ?? ".release.json"),
    registry: options.registry ?? register,
    log,
  };
}

module.exports = { SettingsError, settingsOf };
