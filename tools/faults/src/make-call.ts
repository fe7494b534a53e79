import type { PlannedCall } from "./call-plan.ts";

/** What the client was told of a call. */
export interface CallReport extends PlannedCall {
  readonly ok: boolean;
  /** `error.data.code` of a failure. */
  readonly code: string | undefined;
  /** `error.data.reason`: why there was no further attempt. */
  readonly reason: string | undefined;
}

interface Answer {
  readonly result?: unknown;
  readonly error?: { readonly data?: { readonly code?: string; readonly reason?: string } };
}

/** Makes one call over plain JSON-RPC, once: this client repeats nothing. */
export async function makeCall(origin: string, call: PlannedCall, id: number): Promise<CallReport> {
  const response = await fetch(`${origin}/mcp/http`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: `flaky_${call.tool}`, arguments: { key: call.key } },
    }),
  });
  const { result, error } = (await response.json()) as Answer;
  return { ...call, ok: result !== undefined, code: error?.data?.code, reason: error?.data?.reason };
}
