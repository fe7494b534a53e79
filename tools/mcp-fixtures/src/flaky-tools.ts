import type { Ledger } from "./ledger.ts";
import { createRawMessages, failure, success } from "./raw-messages.ts";
import type { RawMessage, RawToolset } from "./raw-tools.ts";

/** The four kinds of tools that a retrier must tell apart, by their annotations. */
const ANNOTATIONS = {
  read: { readOnlyHint: true },
  put: { readOnlyHint: false, idempotentHint: true },
  remove: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
  write: undefined,
} as const;

const IDEMPOTENCY_KEY = "io.gatewright/idempotencyKey";

const TOOLS = Object.entries(ANNOTATIONS).map(([name, annotations]) => ({
  name,
  description: `Writes an execution of "${name}" in the ledger.`,
  inputSchema: { type: "object", properties: { key: { type: "string" } }, required: ["key"] },
  ...(annotations === undefined ? {} : { annotations }),
}));

/** The key by which the ledger knows a call. */
export const callKey = (message: RawMessage): string =>
  String(message.params?.arguments?.["key"] ?? "unnamed");

/**
 * The tools `read`, `put`, `remove` and `write`; each execution goes into the ledger. With `honourKeys` a second
 * call of the same `_meta["io.gatewright/idempotencyKey"]` is answered from memory instead of executed.
 */
export function createFlakyTools(ledger: Ledger, honourKeys: boolean): RawToolset {
  const messages = createRawMessages("flaky-fixture", TOOLS);
  const seen = new Set<string>();
  return {
    messages,
    call(message, id, modern) {
      const name = message.params?.name ?? "";
      if (!(name in ANNOTATIONS)) return { body: failure(id, -32602, `Tool ${name} not found`), waitMs: 0 };
      const key = callKey(message);
      const idempotencyKey = message.params?._meta?.[IDEMPOTENCY_KEY];
      const repeated = honourKeys && typeof idempotencyKey === "string" && seen.has(idempotencyKey);
      if (!repeated) ledger.record({ key, tool: name, session: modern ? "modern" : "legacy", amount: 1 });
      if (typeof idempotencyKey === "string") seen.add(idempotencyKey);
      return { body: success(id, messages.text(JSON.stringify(`${name} ${key}`), modern)), waitMs: 0 };
    },
  };
}
