import { randomUUID } from "node:crypto";
import type { Edit, RequestMessage } from "@gatewright/mcp-bridge";
import { splice } from "@gatewright/mcp-bridge";

/** `_meta` key under which a client gives an idempotency key. */
export const idempotencyMeta = "io.gatewright/idempotencyKey";

/** What of a request's params is rewritten on the way up. */
export interface ParamsChange {
  /** The upstream's own name of the tool or prompt, when it differs. */
  readonly name?: string | undefined;
  /** The upstream's own URI of the resource, when it differs. */
  readonly uri?: string | undefined;
  /** Arguments that a plugin changed. */
  readonly args?: { readonly value: unknown } | undefined;
  /** `ref` of a completion. */
  readonly ref?: unknown;
  /** The whole `_meta` of the request, when it changes. */
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
}

/** The raw params for the upstream: the client's own bytes but for what `change` names. */
export function upstreamParams(message: RequestMessage, change: ParamsChange): Buffer | undefined {
  const { paramsSpan, spans, bytes } = message;
  const { name, uri, args, ref, meta } = change;
  if (paramsSpan === undefined) {
    return meta === undefined ? undefined : Buffer.from(JSON.stringify({ _meta: meta }));
  }
  const raw = bytes.subarray(paramsSpan.start, paramsSpan.end);
  const renamed = name !== undefined || uri !== undefined;
  if (!renamed && args === undefined && ref === undefined && meta === undefined) return raw;
  const edits: Edit[] = [];
  const put = (span: { start: number; end: number } | undefined, key: string, value: unknown) => {
    const text = JSON.stringify(value);
    if (span !== undefined) {
      edits.push({ start: span.start - paramsSpan.start, end: span.end - paramsSpan.start, text });
    } else {
      const comma = Object.keys(message.params ?? {}).length === 0 ? "" : ",";
      edits.push({ start: 1, end: 1, text: `${JSON.stringify(key)}:${text}${comma}` });
    }
  };
  if (name !== undefined) put(spans.name, "name", name);
  if (uri !== undefined) put(spans.uri, "uri", uri);
  if (args !== undefined) put(spans.arguments, "arguments", args.value);
  if (ref !== undefined) put(spans.ref, "ref", ref);
  if (meta !== undefined) put(spans.meta, "_meta", meta);
  return splice(
    raw,
    edits.sort((left, right) => left.start - right.start),
  );
}

/**
 * The idempotency key of a call and what has to change for it: a server that honours keys gets the client's, or
 * a minted one; any other never sees it.
 */
export function idempotencyOf(
  message: RequestMessage,
  honoured: boolean,
): { readonly key?: string; readonly meta?: Readonly<Record<string, unknown>> } {
  const meta = message.params?.["_meta"] as Readonly<Record<string, unknown>> | undefined;
  const given = meta?.[idempotencyMeta];
  if (honoured) {
    if (typeof given === "string") return { key: given };
    const key = randomUUID();
    return { key, meta: { ...meta, [idempotencyMeta]: key } };
  }
  if (given === undefined) return none;
  const { [idempotencyMeta]: _, ...rest } = meta ?? {};
  return { meta: rest };
}

const none = {};
