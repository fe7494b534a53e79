import { z } from "zod";
import {
  type McpServerEntry,
  mcpServerEntry,
  type plainAuth,
  type upstreamAuth,
  upstreamSettings,
} from "../config/mcp-servers.ts";
import type { UpstreamCredentials, UpstreamDefinition, UpstreamRecord } from "../registry/records.ts";
import type { UpstreamInput } from "../registry/registry.ts";

/** Body of `POST /gateways`. */
export const upstreamBody = mcpServerEntry.extend({ name: z.string().trim().min(1).max(64) });

/** Body of `PATCH /gateways/{id}`: any part of it; `auth: {type: "none"}` forgets credentials. */
export const upstreamPatch = z.strictObject(
  Object.fromEntries(
    Object.entries(upstreamBody.shape).map(([key, schema]) => [
      key,
      (schema instanceof z.ZodDefault ? schema.unwrap() : schema).optional(),
    ]),
  ),
) as unknown as z.ZodType<Partial<z.infer<typeof upstreamBody>>>;

/** Parsed body of `POST /gateways`. */
export type UpstreamBody = z.infer<typeof upstreamBody>;

/** Splits what a user wrote into what is kept in the open and what is sealed. */
export function splitEntry(entry: McpServerEntry): {
  readonly definition: UpstreamDefinition;
  readonly credentials: UpstreamCredentials;
} {
  const { url, command, args, cwd, maxConcurrencyPerSession, caps, refreshIntervalSeconds, tier } = entry;
  const place = splitUrl(url);
  const definition: UpstreamDefinition = {
    ...(place.url === undefined ? {} : { url: place.url }),
    ...(command === undefined ? {} : { command }),
    ...(args === undefined ? {} : { args }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(maxConcurrencyPerSession === undefined ? {} : { maxConcurrencyPerSession }),
    ...(caps === undefined ? {} : { caps }),
    ...(refreshIntervalSeconds === undefined ? {} : { refreshIntervalSeconds }),
    ...(tier === undefined ? {} : { tier }),
    ...((entry.type ?? entry.transport) === "sse" ? { transport: "sse" as const } : {}),
    stateless: entry.stateless,
    trusted: entry.trusted,
    idempotency: entry.idempotency,
    child: entry.child,
    passthroughHeaders: entry.passthroughHeaders,
    tags: entry.tags,
  };
  return {
    definition,
    credentials: {
      headers: credentialHeaders(place, entry),
      env: entry.env ?? {},
      ...userCredentials(entry.auth),
    },
  };
}

/** A URL without a name and password in it, and the header that these stand for: a URL is not kept as a secret. */
function splitUrl(url: string | undefined): {
  readonly url?: string;
  readonly headers: Readonly<Record<string, string>>;
} {
  if (url === undefined) return { headers: {} };
  const parsed = new URL(url);
  const { username, password } = parsed;
  if (username === "" && password === "") return { url, headers: {} };
  parsed.username = "";
  parsed.password = "";
  const plain = { username: decodePart(username), password: decodePart(password) };
  return { url: parsed.href, headers: authHeaders({ type: "basic", ...plain }) };
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What proves the gateway to an upstream: `auth` wins over `headers`, and those over a name in the URL. */
function credentialHeaders(
  place: { readonly headers: Readonly<Record<string, string>> },
  { headers = {}, auth }: Pick<Partial<McpServerEntry>, "headers" | "auth">,
): Record<string, string> {
  const given = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  const own = auth?.type === "per_user" ? auth.default : auth;
  return { ...(given ? {} : place.headers), ...headers, ...authHeaders(own) };
}

/** The headers of callers that have credentials of their own. */
function userCredentials(auth: z.infer<typeof upstreamAuth> | undefined): Pick<UpstreamCredentials, "users"> {
  if (auth?.type !== "per_user") return {};
  const users = Object.entries(auth.users).map(([user, own]) => [user, authHeaders(own)] as const);
  return { users: Object.fromEntries(users) };
}

/** The request headers that a form of authorization stands for. */
export function authHeaders(auth: z.infer<typeof plainAuth> | undefined): Record<string, string> {
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

/** What a patch makes of an upstream; parts that it does not name stay as they are. */
export function changedInput(
  before: UpstreamRecord,
  patch: z.infer<typeof upstreamPatch>,
): Partial<UpstreamInput> {
  const { name, auth, headers, env, url, command, ...settings } = patch;
  const known = new Set<string>(["args", "cwd", ...Object.keys(upstreamSettings)]);
  const changes = Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => known.has(key) && value !== undefined),
  );
  const split = splitUrl(url);
  const moved =
    split.url !== undefined ? { url: split.url } : command !== undefined ? { command } : undefined;
  const { url: oldUrl, command: oldCommand, ...kept } = before.definition;
  const place = moved ?? {
    ...(oldUrl === undefined ? {} : { url: oldUrl }),
    ...(oldCommand === undefined ? {} : { command: oldCommand }),
  };
  const replaced = headers !== undefined || auth !== undefined || Object.keys(split.headers).length > 0;
  return {
    ...(name === undefined ? {} : { name }),
    definition: { ...kept, ...place, ...changes },
    credentials: {
      headers: replaced ? credentialHeaders(split, { headers, auth }) : before.credentials.headers,
      env: env ?? before.credentials.env,
      ...(replaced ? userCredentials(auth) : usersOf(before.credentials)),
    },
  };
}

function usersOf({ users }: UpstreamCredentials): Pick<UpstreamCredentials, "users"> {
  return users === undefined ? {} : { users };
}
