import { GatewayError } from "../errors.ts";
import { isSendable } from "../http/sendable-headers.ts";
import type { HookedKind, prePayload } from "./hooks.ts";
import { idempotencyMeta } from "./upstream-params.ts";

/** What plugins changed of a call before it is sent. */
export interface CallEdits {
  /** The upstream's own name of another tool, prompt or resource. */
  readonly name?: string;
  readonly args?: { readonly value: unknown };
  /** Headers for the upstream, in place of those that the caller's request would have given. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The whole `_meta` of a read. */
  readonly meta?: Readonly<Record<string, unknown>>;
}

type Fields = Readonly<Record<string, unknown>>;

const nameFields = { tool: "name", prompt: "promptId", resource: "uri" } as const;
/** Headers that belong to the transport, to a session or to the gateway. */
const ownHeaders =
  /^(accept|connection|content-(length|type)|host|keep-alive|last-event-id|te|trailer|transfer-encoding|upgrade|mcp-.*|x-gatewright-.*)$/;
/** Members of `_meta` that the protocol itself reads. */
const ownMeta = /^(io\.modelcontextprotocol\/.*|progressToken)$/;

/**
 * Compares the payload of a pre hook with what plugins made of it.
 *
 * @throws {GatewayError} `plugin_error` for what no upstream can be sent
 */
export function editsOf(
  kind: HookedKind,
  before: ReturnType<typeof prePayload>,
  after: unknown,
): CallEdits | undefined {
  if (before === after) return undefined;
  const [old, edited] = [before as unknown as Fields, after as Fields];
  const field = nameFields[kind];
  return {
    ...(old[field] !== edited[field] && { name: nameOf(edited[field]) }),
    ...(old["args"] !== edited["args"] && { args: { value: edited["args"] ?? {} } }),
    ...(old["headers"] !== edited["headers"] && {
      headers: keptAnd(ownHeaders, old["headers"], headersOf(edited["headers"])),
    }),
    ...(old["metadata"] !== edited["metadata"] && {
      meta: without(idempotencyMeta, keptAnd(ownMeta, old["metadata"], fieldsOf(edited["metadata"]))),
    }),
  };
}

function nameOf(value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  throw unsendable("a name");
}

function fieldsOf(value: unknown): Fields {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw unsendable("metadata");
}

function headersOf(value: unknown): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, text] of Object.entries(fieldsOf(value))) {
    if (!isSendable(name, text)) throw unsendable("a header");
    headers[name.toLowerCase()] = text;
  }
  return headers;
}

function unsendable(what: string): GatewayError {
  return new GatewayError("plugin_error", `a plugin gave ${what} that cannot be sent`);
}

/** The edited fields, but those that are not a plugin's as they were. */
function keptAnd<T>(own: RegExp, before: unknown, edited: Readonly<Record<string, T>>): Record<string, T> {
  const all = (fields: unknown) => Object.entries((fields ?? {}) as Record<string, T>);
  return Object.fromEntries([
    ...all(edited).filter(([name]) => !own.test(name)),
    ...all(before).filter(([name]) => own.test(name)),
  ]);
}

function without(name: string, fields: Fields): Fields {
  const { [name]: _, ...rest } = fields;
  return rest;
}
