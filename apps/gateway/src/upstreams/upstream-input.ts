import { z } from "zod";
import { type McpServerEntry, mcpServerEntry, type upstreamAuth } from "../config/mcp-servers.ts";
import type { UpstreamCredentials, UpstreamDefinition } from "../registry/records.ts";

/** Body of `POST /gateways`. */
export const upstreamBody = mcpServerEntry.extend({ name: z.string().trim().min(1).max(64) });

/** Body of `PATCH /gateways/{id}`: any part of it; `auth: {type: "none"}` forgets credentials. */
export const upstreamPatch = upstreamBody.partial();

/** Parsed body of `POST /gateways`. */
export type UpstreamBody = z.infer<typeof upstreamBody>;

/** Splits what a user wrote into what is kept in the open and what is sealed. */
export function splitEntry(entry: McpServerEntry): {
  readonly definition: UpstreamDefinition;
  readonly credentials: UpstreamCredentials;
} {
  const { url, command, args, cwd, maxConcurrencyPerSession, refreshIntervalSeconds } = entry;
  const definition: UpstreamDefinition = {
    ...(url === undefined ? {} : { url }),
    ...(command === undefined ? {} : { command }),
    ...(args === undefined ? {} : { args }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(maxConcurrencyPerSession === undefined ? {} : { maxConcurrencyPerSession }),
    ...(refreshIntervalSeconds === undefined ? {} : { refreshIntervalSeconds }),
    stateless: entry.stateless,
    trusted: entry.trusted,
    idempotency: entry.idempotency,
    child: entry.child,
    passthroughHeaders: entry.passthroughHeaders,
    tags: entry.tags,
  };
  return {
    definition,
    credentials: { headers: { ...entry.headers, ...authHeaders(entry.auth) }, env: entry.env ?? {} },
  };
}

/** The request headers that a form of authorization stands for. */
export function authHeaders(auth: z.infer<typeof upstreamAuth> | undefined): Record<string, string> {
  switch (auth?.type) {
    case "bearer":
      return { authorization: `Bearer ${auth.token}` };
    case "basic": {
      const pair = Buffer.from(`${auth.username}:${auth.password}`, "utf8").toString("base64");
      return { authorization: `Basic ${pair}` };
    }
    case "headers":
      return auth.headers;
    default:
      return {};
  }
}
