// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The same evaluation for code that asks through an OpenFeature client: OpenFeature.setProvider(rollout.provider). */

const { contextOf } = require("./flags");

/**
 * @typedef {import("@openfeature/core").EvaluationContext} Context
 * @typedef {import("@openfeature/core").JsonValue} JsonValue
 */

/**
 * @template T
 * @typedef {import("@openfeature/core").ResolutionDetails<T>} Details
 */

/**
 * @param {import("./flags").Flags} flags
 * @param {import("./metrics").Metrics} metrics
 */
function providerOf(flags, metrics) {
  /**
   * @template T
   * @param {string} flag
   * @param {T} code the default of the code
   * @param {Context} context
   * @param {(context: Context) => Details<T>} evaluate
   * @returns {Promise<Details<T>>}
   */
  async function resolve(flag, code, context, evaluate) {
    if (flags.features.includes(flag)) metrics.evaluations.inc({ flag });
    if (flags.refused.has(flag)) return { value: code, reason: "ERROR" };
    return evaluate({ ...context, ...contextOf(flag, context.targetingKey) });
  }
  return {
    metadata: { name: "gradual" },
    runsOn: /** @type {const} */ ("server"),
    /** @type {(flag: string, code: boolean, context: Context) => Promise<Details<boolean>>} */
    resolveBooleanEvaluation: (flag, code, context) =>
      resolve(flag, code, context, (whole) => flags.core.resolveBooleanEvaluation(flag, code, whole)),
    /** @type {(flag: string, code: string, context: Context) => Promise<Details<string>>} */
    resolveStringEvaluation: (flag, code, context) =>
      resolve(flag, code, context, (whole) => flags.core.resolveStringEvaluation(flag, code, whole)),
    /** @type {(flag: string, code: number, context: Context) => Promise<Details<number>>} */
    resolveNumberEvaluation: (flag, code, context) =>
      resolve(flag, code, context, (whole) => flags.core.resolveNumberEvaluation(flag, code, whole)),
    /** @type {<T extends JsonValue>(flag: string, code: T, context: Context) => Promise<Details<T>>} */
    resolveObjectEvaluation: (flag, code, context) =>
      resolve(flag, code, context, (whole) => flags.core.resolveObjectEvaluation(flag, code, whole)),
  };
}

module.exports = { providerOf };
