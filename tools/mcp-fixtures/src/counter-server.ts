import { randomUUID } from "node:crypto";
import { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import type { Fixture } from "./fixture.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { type SdkServerOptions, startSdkServer } from "./sdk-server.ts";

/** A counter server, with the ledger of what was really added. */
export interface CounterFixture extends Fixture {
  readonly ledger: Ledger;
}

const stateOf = (value: number, session: string) => ({
  content: [{ type: "text" as const, text: String(value) }],
  structuredContent: { value, session },
});

/**
 * A number of its own per session. Tools: `add {amount, key?}` (no hints: not to be repeated), `read {}` (read
 * only) and `reset {}` (idempotent); each answers `{value, session}`.
 */
export function buildCounterServer(ledger: Ledger, session: string): McpServer {
  const server = new McpServer({ name: "counter-fixture", version: "1.0.0" });
  const outputSchema = z.strictObject({ value: z.int(), session: z.string() });
  let value = 0;

  server.registerTool(
    "add",
    {
      description: "Adds to this session's number.",
      inputSchema: z.strictObject({ amount: z.int(), key: z.string().optional() }),
      outputSchema,
    },
    ({ amount, key }) => {
      ledger.record({ key: key ?? randomUUID(), tool: "add", session, amount });
      value += amount;
      return stateOf(value, session);
    },
  );
  server.registerTool(
    "read",
    { description: "Tells this session's number.", outputSchema, annotations: { readOnlyHint: true } },
    () => stateOf(value, session),
  );
  server.registerTool(
    "reset",
    {
      description: "Sets this session's number to 0.",
      outputSchema,
      annotations: { readOnlyHint: false, idempotentHint: true },
    },
    () => {
      ledger.record({ key: randomUUID(), tool: "reset", session, amount: -value });
      value = 0;
      return stateOf(value, session);
    },
  );
  return server;
}

/** {@link buildCounterServer} over streamable HTTP; legacy only by default, since modern requests share no state. */
export async function startCounterServer(options: SdkServerOptions = {}): Promise<CounterFixture> {
  const ledger = createLedger();
  const server = await startSdkServer(
    ({ sessionId }) => buildCounterServer(ledger, sessionId ?? "stateless"),
    {
      era: "legacy",
      ...options,
      report: () => ({ totals: ledger.totals(), duplicates: ledger.duplicates() }),
    },
  );
  return { ...server, ledger };
}
