// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The application contract of Gradual for Express, Fastify and plain http. docs/integrations-node.md tells how. */

const cluster = /** @type {any} */ (require("node:cluster"));
const { HEADERS, addresses, json, send } = require("./addresses");
const { Flags } = require("./flags");
const { Metrics } = require("./metrics");
const { providerOf } = require("./provider");
const { Requests, Use } = require("./requests");
const { pathOf } = require("./routes");
const { serve } = require("./serve");
const { SettingsError, settingsOf } = require("./settings");

/**
 * @typedef {import("node:http").IncomingMessage} Request
 * @typedef {import("node:http").ServerResponse} Response
 * @typedef {Request & { gradual: Use }} Used
 */

/**
 * Serve the contract. Throws SettingsError when an option is wrong, and Error when this process would assign users to
 * other buckets than the Python provider.
 * @param {import("./settings").Options} [options]
 */
function gradual(options = {}) {
  if (cluster.isWorker) {
    throw new SettingsError("gradual() runs in a worker of node:cluster; run one process a host, without cluster");
  }
  const settings = settingsOf(options);
  const metrics = new Metrics(settings.registry, settings.counters, settings.buckets);
  const names = settings.features.map(({ flag }) => flag);
  const flags = new Flags(names, settings.flagsFile, metrics, settings.log);
  let stopping = false;
  const answers = addresses(settings, () => stopping);
  const requests = new Requests(settings, metrics, flags, [...answers.keys()]);
  if (names.length > 0) flags.start();

  /**
   * The answer to one of the addresses of the contract.
   * @param {string} path
   * @param {Use} use
   */
  async function answer(path, use) {
    try {
      return await /** @type {(use: Use) => Promise<import("./addresses").Answer>} */ (answers.get(path))(use);
    } catch (error) {
      settings.log(`${path} failed: ${error}`);
      return json({ error: "this went wrong on our side" }, 500);
    }
  }

  /**
   * Middleware for Express, before the routes.
   * @param {Request & { originalUrl?: string, gradual?: Use }} request
   * @param {Response} response
   * @param {() => void} next
   */
  function express(request, response, next) {
    const use = requests.begin(request, response);
    request.gradual = use;
    const path = pathOf(request.originalUrl ?? request.url ?? "");
    if (answers.has(path) && (request.method === "GET" || request.method === "HEAD")) {
      answer(path, use).then((told) => send(response, told));
    } else {
      next();
    }
  }

  /**
   * A handler for http.createServer.
   * @param {(request: Used, response: Response) => unknown} handler
   * @returns {(request: Request, response: Response) => void}
   */
  function http(handler) {
    return (request, response) => express(request, response, () => handler(/** @type {Used} */ (request), response));
  }

  /**
   * Plugin for Fastify, before the routes: await app.register(rollout.fastify).
   * @param {any} instance
   * @param {unknown} _options
   * @param {() => void} done
   */
  function fastify(instance, _options, done) {
    instance.decorateRequest("gradual", null);
    instance.addHook("onRoute", (/** @type {{ url: string, method: string | string[] }} */ { url, method }) => {
      requests.label({ methods: [method].flat(), route: url });
    });
    instance.addHook("onRequest", (/** @type {any} */ request, /** @type {any} */ reply, /** @type {any} */ next) => {
      request.gradual = requests.begin(request.raw, reply.raw, request.routeOptions.url ?? "unmatched");
      next();
    });
    for (const path of answers.keys()) {
      instance.get(path, async (/** @type {any} */ request, /** @type {any} */ reply) => {
        const told = await answer(path, request.gradual);
        return reply.code(told.status).type(told.type).headers(HEADERS).send(told.body);
      });
    }
    done();
  }
  // Its hooks are for the routes beside it too, not only for its own.
  Object.assign(fastify, { [Symbol.for("skip-override")]: true });

  return {
    express,
    fastify,
    http,
    provider: providerOf(flags, metrics),
    registry: settings.registry,
    /**
     * Listen, tell systemd, and stop gracefully on SIGTERM.
     * @param {import("node:http").RequestListener | import("node:http").Server | import("./serve").Fastify} app
     * @param {import("./serve").Where} [where]
     */
    serve: (app, where = {}) => serve(app, where, settings.log, () => void (stopping = true)),
    /** Stop following the flag file. */
    close: () => flags.stop(),
  };
}

module.exports = { SettingsError, gradual };
