import { z } from "zod";
import {
  type McpServerEntry,
  mcpServerEntry,
  type plainAuth,
  type upstreamAuth,
  upstreamSettings,
} from "../config/mcp-servers.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamCredentials, UpstreamDefinition, UpstreamRecord } from "../registry/records.ts";
import type { UpstreamInput } from "../registry/registry.ts";

const oneOf = "needs either `url` or `command`";

const bodyFields = mcpServerEntry.extend({
  name: z.string().trim().min(1).max(64),
  // A configuration keeps what it does not use; what is registered is used.
  disabled: z.literal(false, "is for configuration files only: what is not to be used is deleted").optional(),
});

/** Body of `POST /gateways`. */
export const upstreamBody = bodyFields
  .refine(({ url, command }) => (url === undefined) !== (command === undefined), {
    message: oneOf,
    path: ["url"],
  })
  .superRefine(checkTransport);

/** Body of `PATCH /gateways/{id}`: any part of it; `auth: {type: "none"}` forgets credentials. */
export const upstreamPatch = z
  .strictObject(
    Object.fromEntries(
      Object.entries(bodyFields.shape).map(([key, schema]) => [
        key,
        (schema instanceof z.ZodDefault ? schema.unwrap() : schema).optional(),
      ]),
    ),
  )
  .refine(({ url, command }) => url === undefined || command === undefined, { message: oneOf, path: ["url"] })
  .superRefine(checkTransport) as unknown as z.ZodType<Partial<z.infer<typeof bodyFields>>>;

/** Parsed body of `POST /gateways`. */
export type UpstreamBody = z.infer<typeof upstreamBody>;

interface Place {
  readonly url?: string | undefined;
  readonly command?: string | undefined;
}

/** The transport that was asked for; `type` is another word for it. */
function transportOf({ type, transport }: Pick<Partial<McpServerEntry>, "type" | "transport">) {
  return type ?? transport;
}

/** Whether a transport is not for what is at a place: a program is spoken to over its standard streams, a URL never. */
function isUnfit(transport: string | undefined, { url, command }: Place): boolean {
  if (transport === undefined) return false;
  return transport === "stdio" ? url !== undefined : command !== undefined;
}

function checkTransport(entry: Partial<McpServerEntry>, context: z.RefinementCtx): void {
  if (!isUnfit(transportOf(entry), entry)) return;
  const path = [entry.type === undefined ? "transport" : "type"];
  context.addIssue({ code: "custom", path, message: unfit(entry) });
}

function unfit({ url }: Place): string {
  return `does not go with \`${url === undefined ? "command" : "url"}\``;
}

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
    ...(transportOf(entry) === "sse" ? { transport: "sse" as const } : {}),
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

/**
 * What a patch makes of an upstream; parts that it does not name stay as they are. How an upstream at another URL is spoken
 * to is found out again, unless the patch says that it is HTTP+SSE.
 *
 * @param found where an upstream with a new URL was found
 * @throws {GatewayError} `validation_failed` for a transport that does not go with where the upstream is
 */
export function changedInput(
  before: UpstreamRecord,
  patch: z.infer<typeof upstreamPatch>,
  found?: UpstreamDefinition,
): Partial<UpstreamInput> {
  const { name, auth, headers, env, url, command, ...settings } = patch;
  const known = new Set<string>(["args", "cwd", ...Object.keys(upstreamSettings)]);
  const changes = Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => known.has(key) && value !== undefined),
  );
  const split = splitUrl(url);
  const { url: oldUrl, command: oldCommand, transport: oldTransport, ...kept } = before.definition;
  const moved = url !== undefined || command !== undefined;
  const place: Place = moved
    ? { url: found?.url ?? split.url, command }
    : { url: oldUrl, command: oldCommand };
  const wanted = transportOf(patch);
  if (isUnfit(wanted, place)) {
    const key = patch.type === undefined ? "transport" : "type";
    throw new GatewayError("validation_failed", `body.${key}: ${unfit(place)}`, {
      details: { path: `body.${key}` },
    });
  }
  const events = wanted === undefined && !moved ? oldTransport === "sse" : wanted === "sse";
  const replaced = headers !== undefined || auth !== undefined || Object.keys(split.headers).length > 0;
  return {
    ...(name === undefined ? {} : { name }),
    definition: {
      ...kept,
      ...(place.url === undefined ? {} : { url: place.url }),
      ...(place.command === undefined ? {} : { command: place.command }),
      ...(events || found?.transport === "sse" ? { transport: "sse" as const } : {}),
      ...changes,
    },
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
