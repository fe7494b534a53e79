import type { RequestListener } from "node:http";

const allowed = {
  "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
  "access-control-max-age": "7200",
};

/**
 * Lets web pages of some origins (`*` for all) read answers, and answers their preflight requests. What it returns is
 * true for a request that was answered.
 */
export function createCors(origins: readonly string[]): (...args: Parameters<RequestListener>) => boolean {
  const any = origins.includes("*");
  return (request, response) => {
    const { origin } = request.headers;
    if (origin === undefined || !(any || origins.includes(origin))) return false;
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("vary", "origin");
    response.setHeader(
      "access-control-expose-headers",
      "mcp-session-id, mcp-protocol-version, www-authenticate",
    );
    const preflight = request.method === "OPTIONS" && "access-control-request-method" in request.headers;
    if (!preflight) return false;
    const asked = request.headers["access-control-request-headers"];
    response.writeHead(204, { ...allowed, ...(asked && { "access-control-allow-headers": asked }) }).end();
    return true;
  };
}
