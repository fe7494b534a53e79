import type { ProbeVerdict, SessionProbe } from "./session-factory.ts";

/** What an MCP server said to a probe. Failures of the transport and lost sessions are thrown instead. */
export type McpProbeAnswer =
  | { readonly kind: "result" }
  | { readonly kind: "error"; readonly rpcCode: number };

/** Options of {@link mcpProbes}. */
export interface McpProbeOptions<S> {
  /** Sends a request without parameters. */
  readonly ask: (session: S, method: string, options: { signal: AbortSignal }) => Promise<McpProbeAnswer>;
  /** The protocol era of a session; `modern` is revision 2026-07-28 and later. */
  readonly eraOf: (session: S) => "legacy" | "modern";
}

const METHOD_NOT_FOUND = -32601;
const METHODS = { legacy: ["ping", "tools/list"], modern: ["server/discover", "tools/list"] } as const;

/** Probes that fit the protocol era of an MCP session: `ping` before 2026-07-28, `server/discover` after. */
export function mcpProbes<S>({ ask, eraOf }: McpProbeOptions<S>): (session: S) => readonly SessionProbe<S>[] {
  const probe = (name: string): SessionProbe<S> => ({
    name,
    async run(session, options): Promise<ProbeVerdict> {
      const answer = await ask(session, name, options);
      if (answer.kind === "result") return "ok";
      return answer.rpcCode === METHOD_NOT_FOUND ? "unsupported" : "terminal";
    },
  });
  const chains = { legacy: METHODS.legacy.map(probe), modern: METHODS.modern.map(probe) };
  return (session) => chains[eraOf(session)];
}
