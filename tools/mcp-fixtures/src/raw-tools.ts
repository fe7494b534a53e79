import { failure, success, textResult } from "./raw-messages.ts";

/** The part of a JSON-RPC message that the raw server looks at. */
export interface RawMessage {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly arguments?: { readonly text?: unknown; readonly bytes?: number; readonly ms?: number };
    readonly protocolVersion?: string;
    readonly _meta?: Readonly<Record<string, unknown>>;
  };
}

/** The answer to a `tools/call`: its text, and how long to hold it back. */
export interface RawToolAnswer {
  readonly body: string;
  readonly waitMs: number;
}

/** The tools `echo`, `payload` and `wait`; `id` is the request's id as JSON text. */
export function createRawTools(options: { resultBytes: number; delayMs: number }) {
  let cached = { bytes: -1, json: "" };
  const payload = (bytes: number): string => {
    if (cached.bytes !== bytes) cached = { bytes, json: JSON.stringify("x".repeat(bytes)) };
    return cached.json;
  };

  return (message: RawMessage, id: string, modern: boolean): RawToolAnswer => {
    const args = message.params?.arguments;
    const answer = (text: string, waitMs = options.delayMs): RawToolAnswer => ({
      body: success(id, textResult(text, modern)),
      waitMs,
    });
    switch (message.params?.name) {
      case "echo":
        return answer(JSON.stringify(String(args?.text ?? "")));
      case "payload":
        return answer(payload(args?.bytes ?? options.resultBytes));
      case "wait": {
        const waitMs = options.delayMs + (args?.ms ?? 0);
        return answer(`"waited ${waitMs} ms"`, waitMs);
      }
      default:
        return { body: failure(id, -32602, `Tool ${message.params?.name} not found`), waitMs: 0 };
    }
  };
}
