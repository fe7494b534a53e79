import { Client, type ClientOptions, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

/** How the official client settles the protocol era. */
export type Mode = "legacy" | "auto" | "modern";

export interface Connected extends AsyncDisposable {
  readonly client: Client;
  /** Ends a legacy session by DELETE, then closes the client. */
  readonly end: () => Promise<void>;
}

/** Connects the official client to a URL in the given mode. */
export async function connect(url: string, mode: Mode, options: ClientOptions = {}): Promise<Connected> {
  const client = new Client(
    { name: "fixture-test", version: "1.0.0" },
    { ...options, versionNegotiation: { mode: mode === "modern" ? { pin: "2026-07-28" } : mode } },
  );
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  const end = async (): Promise<void> => {
    if (transport.sessionId !== undefined) await transport.terminateSession();
    await client.close();
  };
  return { client, end, [Symbol.asyncDispose]: () => client.close() };
}

/** The text of a tool result's first item. */
export function textOf(result: { content: readonly { type: string; text?: string }[] }): string {
  return result.content[0]?.text ?? "";
}

/** Waits until `condition` holds; fails after `timeoutMs`. */
export async function eventually(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not true within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
