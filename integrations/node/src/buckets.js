// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/**
 * The bucket of a user: made to agree with the Python provider of flagd.
 *
 * openfeature-provider-flagd 0.6.1 hashes the CBOR encoding of [flag key, targeting key]. @openfeature/flagd-core 4.0.1
 * hashes the two texts one after the other, so it would assign other users to a share. Its operator `fractional` also
 * takes a text of its own to hash. So each rule gets the same CBOR bytes as that text, one character for one byte.
 */

const BUCKET = "gradualBucket";
const PROBES = Array.from({ length: 100 }, (_, number) => `share-probe-${String(number).padStart(3, "0")}`);

const SAMPLE_FLAG = "gradual-sample";
const SAMPLE = {
  state: "ENABLED",
  variants: { on: true, off: false },
  defaultVariant: "off",
  targeting: { fractional: [["on", 50], ["off", 50]] },
};
/** Who of PROBES has SAMPLE_FLAG, by the Python provider: a bit for each, the first is the highest (test/deal.py). */
const EXPECTED = "7d79afc8690a1a9e96406b8ea";

/**
 * @typedef {{ flags: Record<string, any>, metadata?: Record<string, any>, $evaluators?: Record<string, any> }} FlagFile
 */

/**
 * The head of a CBOR text string of so many bytes (RFC 8949, section 3).
 * @param {number} length
 */
function textHead(length) {
  if (length < 24) return [0x60 + length];
  if (length < 0x100) return [0x78, length];
  if (length < 0x10000) return [0x79, length >> 8, length & 0xff];
  return [0x7a, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
}

/**
 * The bytes that decide about a user, as a text with one character for one byte.
 * @param {string} flag
 * @param {string} key the targeting key
 */
function bucket(flag, key) {
  let text = "\x82"; // an array of two
  for (const part of [flag, key]) {
    const bytes = Buffer.from(part, "utf8");
    text += String.fromCharCode(...textHead(bytes.length)) + bytes.toString("latin1");
  }
  return text;
}

/**
 * A targeting rule that hashes BUCKET wherever it would hash the flag's and the user's names.
 * @param {any} rule
 * @param {(what: "own bucket" | "reference") => void} seen
 * @returns {any}
 */
function rewrite(rule, seen) {
  if (Array.isArray(rule)) return rule.map((each) => rewrite(each, seen));
  if (rule === null || typeof rule !== "object") return rule;
  return Object.fromEntries(
    Object.entries(rule).map(([operator, given]) => {
      const values = rewrite(given, seen);
      if (operator === "$ref") seen("reference");
      if (operator !== "fractional" || !Array.isArray(values)) return [operator, values];
      if (Array.isArray(values[0])) return [operator, [{ var: BUCKET }, ...values]];
      seen("own bucket");
      return [operator, values];
    }),
  );
}

/**
 * The file as flagd-core must evaluate it, and the flags for which it cannot agree with the Python provider: those
 * whose `fractional` names a value of its own to hash, directly or through `$evaluators`.
 * @param {FlagFile} file
 * @returns {{ file: FlagFile, refused: Set<string> }}
 */
function agreeing(file) {
  let shared = false;
  const refused = new Set();
  const evaluators = file.$evaluators && rewrite(file.$evaluators, (what) => (shared ||= what === "own bucket"));
  const flags = Object.fromEntries(
    Object.entries(file.flags).map(([flag, definition]) => {
      if (!definition?.targeting) return [flag, definition];
      const targeting = rewrite(definition.targeting, (what) => {
        if (what === "own bucket" || shared) refused.add(flag);
      });
      return [flag, { ...definition, targeting }];
    }),
  );
  return { file: { ...file, flags, ...(evaluators && { $evaluators: evaluators }) }, refused };
}

/**
 * Who of PROBES has SAMPLE_FLAG, as EXPECTED has it.
 * @param {(flag: string, key: string) => boolean} evaluate
 */
function fingerprint(evaluate) {
  const bits = PROBES.map((key) => (evaluate(SAMPLE_FLAG, key) ? "1" : "0")).join("");
  return BigInt(`0b${bits}`).toString(16).padStart(25, "0");
}

/**
 * Throws when the evaluation that is installed here assigns other users than the Python provider does.
 * @param {(flag: string, key: string) => boolean} evaluate evaluates a file with SAMPLE as SAMPLE_FLAG
 */
function insistOnSameUsers(evaluate) {
  const got = fingerprint(evaluate);
  if (got !== EXPECTED) {
    throw new Error(
      "the installed @openfeature/flagd-core assigns other users to a share than openfeature-provider-flagd 0.6.1:" +
        ` got ${got}, expected ${EXPECTED}; install the exact versions: npm ci`,
    );
  }
}

module.exports = { BUCKET, EXPECTED, PROBES, SAMPLE, SAMPLE_FLAG, agreeing, bucket, fingerprint, insistOnSameUsers };
