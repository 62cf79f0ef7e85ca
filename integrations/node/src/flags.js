// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The flag file as this process evaluates it: read when it changes, and told as metrics. */

const fs = require("node:fs");
const { FlagdCore } = require("@openfeature/flagd-core");
const buckets = require("./buckets");

const POLL_MS = 500;

/**
 * @typedef {{ on: boolean, variant: string }} Has whether the user has a feature, and the variant that the user is
 *   counted by
 * @typedef {import("./buckets").FlagFile} FlagFile
 * @typedef {(sentence: string) => void} Log
 */

/**
 * An evaluator of a file.
 * @param {FlagFile} file
 */
function coreOf(file) {
  const core = new FlagdCore(undefined, { error() {}, warn() {}, info() {}, debug() {} });
  core.setConfigurations(JSON.stringify(file));
  return core;
}

/**
 * What flagd-core needs to know of a user.
 * @param {string} flag
 * @param {string | undefined} key the targeting key
 * @returns {import("@openfeature/core").EvaluationContext}
 */
function contextOf(flag, key) {
  return key ? { targetingKey: key, [buckets.BUCKET]: buckets.bucket(flag, key) } : {};
}

/**
 * The file in a text; throws with what is wrong.
 * @param {string} text
 * @returns {FlagFile}
 */
function parse(text) {
  const file = JSON.parse(text);
  const flags = file?.flags;
  if (flags === null || typeof flags !== "object" || Array.isArray(flags)) throw new Error('it has no object "flags"');
  return file;
}

class Flags {
  /**
   * @param {string[]} features the flags that the application evaluates
   * @param {string} path of the flag file
   * @param {import("./metrics").Metrics} metrics
   * @param {Log} log
   */
  constructor(features, path, metrics, log) {
    this.features = features;
    this.path = path;
    this.metrics = metrics;
    this.log = log;
    this.core = coreOf({ flags: {} });
    /** @type {Set<string>} */
    this.refused = new Set();
    this.identity = "";
    this.trouble = "";
    this.expires = false;
  }

  /** Read the file and follow it from now on. A file that is missing or wrong is told, and every feature is off. */
  start() {
    const sample = coreOf(buckets.agreeing({ flags: { [buckets.SAMPLE_FLAG]: buckets.SAMPLE } }).file);
    buckets.insistOnSameUsers((flag, key) => sample.resolveBooleanEvaluation(flag, false, contextOf(flag, key)).value);
    this.look();
    this.timer = setInterval(() => this.look(), POLL_MS);
    this.timer.unref();
  }

  stop() {
    clearInterval(this.timer);
  }

  /** Read the file if it is another than before; tell the shares again if they can have changed. */
  look() {
    try {
      const stat = fs.statSync(this.path, { bigint: true });
      const identity = `${stat.ino} ${stat.mtimeNs} ${stat.size}`;
      if (identity !== this.identity) {
        this.identity = identity;
        this.read();
      } else if (this.expires) {
        this.tellShares();
      }
    } catch (error) {
      this.identity = "";
      this.tell(/** @type {Error} */ (error).message);
    }
  }

  /** Evaluate the file as it is now. If it is wrong, the last good flags stay, as in the Python provider. */
  read() {
    try {
      const whole = parse(fs.readFileSync(this.path, "utf8"));
      const { file, refused } = buckets.agreeing(whole);
      const core = coreOf(file);
      for (const feature of this.features) {
        for (const [variant, value] of Object.entries(whole.flags[feature]?.variants ?? {})) {
          this.metrics.variant(feature, variant, value === true);
        }
      }
      this.core = core;
      this.refused = refused;
      this.expires = JSON.stringify(whole).includes("$flagd.timestamp");
      this.tellShares();
      for (const feature of this.features) this.metrics.revision(feature, this.revision(feature));
      const ours = this.features.filter((feature) => refused.has(feature));
      this.tell(
        ours.length === 0
          ? ""
          : `${ours.join(", ")} is off: its rule names its own value to hash, by which Node and Python assign` +
              " different users; hash the targeting key: write fractional without that value",
      );
    } catch (error) {
      const cause = /** @type {any} */ (error).cause ?? error;
      this.tell(`${cause.message}; the last good flags stay, and every feature is off if there are none`);
    }
  }

  /** @param {string} trouble what is wrong with the file now, "" for nothing; logged when it is new */
  tell(trouble) {
    this.metrics.readable(trouble === "");
    if (trouble && trouble !== this.trouble) this.log(`flag file ${this.path}: ${trouble}`);
    this.trouble = trouble;
  }

  tellShares() {
    for (const feature of this.features) {
      const having = buckets.PROBES.filter((key) => this.evaluate(feature, key).on);
      this.metrics.share(feature, having.length / buckets.PROBES.length);
    }
  }

  /**
   * The revision of the flag as it is evaluated; 0 when it is not in the file.
   * @param {string} feature
   */
  revision(feature) {
    const flag = this.core.getFlag(feature);
    const revision = flag?.metadata.revision;
    return typeof revision === "number" ? revision : 0;
  }

  /**
   * What a user has. Whatever is wrong with the file, the answer is off.
   * @param {string} feature
   * @param {string | undefined} key the targeting key
   * @returns {Has}
   */
  evaluate(feature, key) {
    if (this.refused.has(feature)) return { on: false, variant: "off" };
    const { value, variant } = this.core.resolveBooleanEvaluation(feature, false, contextOf(feature, key));
    return { on: value, variant: this.metrics.variant(feature, variant, value) };
  }
}

module.exports = { Flags, contextOf, coreOf };
