// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** Routes as an application names them: "/api/products/:sku", "POST /api/orders", "/static/*". */

/**
 * @template T
 * @typedef {{ methods: string[], route: string, pattern: RegExp, value: T }} Entry
 */

const ROUTE = /^(?:([A-Z]+) )?(\/\S*)$/;

/**
 * @param {unknown} text
 * @returns {{ methods: string[], route: string } | undefined} no methods: any
 */
function parseRoute(text) {
  const [, method, route] = (typeof text === "string" && ROUTE.exec(text)) || [];
  if (route === undefined) return undefined;
  return { methods: method ? [method] : [], route };
}

/**
 * @param {string} route
 * @returns {RegExp} of the paths of the route, with or without a slash at the end
 */
function patternOf(route) {
  const path = route.replace(/\/$/, "").replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${path.replace(/:[^/]+/g, "[^/]+").replace(/\*/g, ".*")}/?$`);
}

/**
 * The path of a request, without its query.
 * @param {string} url
 */
function pathOf(url) {
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}

/**
 * A list of routes, each with a value. The first route that fits a request counts.
 * @template T
 */
class Routes {
  constructor() {
    /** @type {Entry<T>[]} */
    this.entries = [];
  }

  /**
   * @param {{ methods: string[], route: string }} route
   * @param {T} value
   */
  add({ methods, route }, value) {
    this.entries.push({ methods, route, pattern: patternOf(route), value });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @returns {Entry<T>[]} the routes of a request
   */
  all(method, path) {
    const asked = method === "HEAD" ? "GET" : method;
    return this.entries.filter(
      ({ methods, pattern }) => (methods.length === 0 || methods.includes(asked)) && pattern.test(path),
    );
  }
}

module.exports = { Routes, parseRoute, pathOf };
