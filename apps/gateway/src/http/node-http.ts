/**
 * Node's HTTP server. An ES import of `node:http` reads everything it exports, and with `http.WebSocket` loads the HTTP
 * client behind it, which nothing here uses: a twentieth of a start.
 */
export const { createServer, STATUS_CODES, validateHeaderName, validateHeaderValue } =
  process.getBuiltinModule("node:http");
