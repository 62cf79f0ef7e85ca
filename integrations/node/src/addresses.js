// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What Gradual, the balancer and Prometheus ask. */

/**
 * @typedef {import("node:http").ServerResponse} Response
 * @typedef {import("./requests").Use} Use
 * @typedef {{ status: number, type: string, body: string }} Answer
 */

const READY_MS = 3000;
const HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "same-origin",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
};

/**
 * @param {unknown} value
 * @param {number} [status]
 * @returns {Answer}
 */
function json(value, status = 200) {
  return { status, type: "application/json; charset=utf-8", body: JSON.stringify(value) };
}

/**
 * Why the host may not take traffic, "" if it may.
 * @param {() => unknown} ready
 * @returns {Promise<string>}
 */
async function refusal(ready) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, READY_MS, `the check did not end within ${READY_MS / 1000} s`);
  });
  try {
    const told = await Promise.race([ready(), late]);
    return typeof told === "string" ? told : "";
  } catch (error) {
    return error instanceof Error ? error.message || error.name : String(error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * {path: its answer}.
 * @param {ReturnType<typeof import("./settings").settingsOf>} settings
 * @param {() => boolean} stopping
 * @returns {Map<string, (use: Use) => Promise<Answer>>}
 */
function addresses(settings, stopping) {
  const { features, ready, registry, release } = settings;
  return new Map(
    Object.entries({
      "/healthz": async () => json({ status: "alive" }),
      "/readyz": async () => {
        const reason = stopping() ? "the process is stopping" : await refusal(ready);
        return reason ? json({ ready: false, reason }, 503) : json({ ready: true });
      },
      "/version": async () => json(release),
      "/metrics": async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
      "/api/features": async (/** @type {Use} */ use) =>
        json({ features: Object.fromEntries(features.map(({ flag }) => [flag, use.isOn(flag)])) }),
    }),
  );
}

/**
 * @param {Response} response
 * @param {Answer} answer
 */
function send(response, { status, type, body }) {
  response.statusCode = status;
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  response.setHeader("Content-Type", type);
  response.setHeader("Content-Length", Buffer.byteLength(body));
  response.end(body);
}

module.exports = { HEADERS, addresses, json, send };
