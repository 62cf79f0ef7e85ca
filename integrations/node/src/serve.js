// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The process as a service: it listens, tells systemd so, and stops gracefully on SIGTERM. */

const fs = require("node:fs");
const http = require("node:http");

/** Longer than any balancer keeps an idle connection: a request must never meet a connection that is being closed. */
const KEEP_ALIVE_MS = 75_000;
/** Shorter than TimeoutStopSec of the unit, 30 s. */
const STOP_MS = 20_000;

/**
 * @typedef {object} Fastify
 * @property {http.Server} server
 * @property {() => PromiseLike<unknown>} close
 * @property {(where: { port: number, host: string }) => Promise<unknown>} listen
 *
 * @typedef {object} Where
 * @property {number} [port] default: PORT of the environment, or 8080
 * @property {string} [host] default: 0.0.0.0
 * @property {() => unknown} [onStop] called when the last request is answered, to close what is open
 */

/**
 * Tell systemd. Only a process that bin/gradual-notify started can: Node has no datagrams on Unix sockets.
 * @param {string} state like READY=1
 * @param {(sentence: string) => void} log
 */
function notify(state, log) {
  const socket = process.env.GRADUAL_NOTIFY_FD;
  if (socket !== undefined) {
    fs.writeSync(Number(socket), state);
  } else if (process.env.NOTIFY_SOCKET) {
    log(
      "systemd waits for READY=1 (Type=notify), which Node cannot send by itself: start it with" +
        " exec node_modules/.bin/gradual-notify node <file>",
    );
  }
}

/**
 * @param {unknown} app
 * @returns {app is Fastify}
 */
function isFastify(app) {
  return typeof app === "object" && app !== null && "server" in app && "listen" in app && "close" in app;
}

/**
 * Listen and serve until SIGTERM; resolves once the server listens.
 * @param {http.RequestListener | http.Server | Fastify} app
 * @param {Where} where
 * @param {(sentence: string) => void} log
 * @param {() => void} stopping called at SIGTERM
 * @returns {Promise<http.Server>}
 */
async function serve(app, { port = Number(process.env.PORT || 8080), host = "0.0.0.0", onStop }, log, stopping) {
  const server = isFastify(app) ? app.server : app instanceof http.Server ? app : http.createServer(app);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = KEEP_ALIVE_MS + 1000;
  if (isFastify(app)) {
    await app.listen({ port, host });
  } else {
    await new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => resolve(undefined));
    });
  }
  process.once("SIGTERM", async () => {
    stopping();
    notify("STOPPING=1", log);
    const idle = setInterval(() => server.closeIdleConnections(), 100);
    const late = setTimeout(() => server.closeAllConnections(), STOP_MS);
    try {
      await (isFastify(app) ? app.close() : new Promise((resolve) => server.close(resolve)));
      await onStop?.();
    } catch (error) {
      log(`could not stop cleanly: ${error}`);
      process.exitCode = 1;
    }
    clearInterval(idle);
    clearTimeout(late);
    process.exit();
  });
  notify("READY=1", log);
  return server;
}

module.exports = { serve };
