import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Principal, Scope } from "../auth/principal.ts";
import type { EdgeRequest, ForwardedRequest } from "./replicas.ts";

/** Path of the internal route, on which replicas hand requests to each other. */
export const forwardPath = "/internal/forward";

/** Header with the session of a forwarded request; what it says is checked against the envelope. */
export const sessionHeader = "mcp-session-id";

/** What is signed in place of the client's own head. */
interface ForwardHead {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly principal: Omit<Principal, "scopes" | "servers"> & {
    readonly scopes: readonly Scope[];
    readonly servers?: readonly string[];
  };
  readonly clientIp: string;
  readonly requestId: string;
}

/** Headers that concern one connection, and the client's own proofs, which end at the edge. */
const ownHeaders = new Set([
  ...["authorization", "cookie", "proxy-authorization", "host", "connection", "keep-alive", "te", "trailer"],
  ...["transfer-encoding", "content-length", "upgrade", "expect", "forwarded"],
]);

/** The head of a client's request, and who sent it, as text. */
export function encodeHead({ request, principal, clientIp, requestId }: EdgeRequest): string {
  const { scopes, servers, expiresAtMs, ...rest } = principal;
  const who = { ...rest, scopes: [...scopes], ...(servers && { servers: [...servers] }) };
  const head: ForwardHead = {
    method: request.method ?? "POST",
    path: request.url ?? "/",
    headers: forwardedHeaders(request.headers),
    // JSON has no infinity; it would be read as a time long gone.
    principal: expiresAtMs !== undefined && Number.isFinite(expiresAtMs) ? { ...who, expiresAtMs } : who,
    clientIp,
    requestId,
  };
  return JSON.stringify(head);
}

/** Makes `request` the one that a signed head describes. */
export function applyHead(text: string, request: IncomingMessage): Omit<ForwardedRequest, "body"> {
  const { method, path, headers, principal, clientIp, requestId } = JSON.parse(text) as ForwardHead;
  request.method = method;
  request.url = path;
  request.headers = { ...headers };
  const { scopes, servers, ...rest } = principal;
  return {
    principal: { ...rest, scopes: new Set(scopes), ...(servers && { servers: new Set(servers) }) },
    clientIp,
    requestId,
  };
}

function forwardedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || ownHeaders.has(name) || name.startsWith("x-forwarded-")) continue;
    kept[name] = typeof value === "string" ? value : value.join(", ");
  }
  return kept;
}

/** Envelope and body of a forwarded request as one body, in lines: an envelope may be longer than headers are allowed to be. */
export function joinForward(envelope: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${envelope}\n`, "latin1"), body]);
}
