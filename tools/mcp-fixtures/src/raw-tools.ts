import { createRawMessages, failure, type RawMessages, success } from "./raw-messages.ts";

/** The part of a JSON-RPC message that a raw server looks at. */
export interface RawMessage {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly arguments?: Readonly<Record<string, unknown>>;
    readonly protocolVersion?: string;
    readonly _meta?: Readonly<Record<string, unknown>>;
  };
}

/** The answer to a `tools/call`: its text, and how long to hold it back. */
export interface RawToolAnswer {
  readonly body: string;
  readonly waitMs: number;
}

/** What a raw server offers; `id` is the request's id as JSON text. */
export interface RawToolset {
  readonly messages: RawMessages;
  call(message: RawMessage, id: string, modern: boolean): RawToolAnswer;
}

const annotations = { readOnlyHint: true, idempotentHint: true };
const tool = (name: string, description: string, properties: object) => ({
  name,
  description,
  inputSchema: { type: "object", properties },
  annotations,
});

const TOOLS = [
  tool("echo", "Answers with the text it was given.", { text: { type: "string" } }),
  tool("payload", "Answers with a text of the given number of bytes.", {
    bytes: { type: "integer", minimum: 0 },
  }),
  tool("wait", "Answers after the given number of milliseconds.", { ms: { type: "integer", minimum: 0 } }),
];

/** The tools `echo`, `payload` and `wait`. */
export function createRawTools(options: { resultBytes: number; delayMs: number }): RawToolset {
  const messages = createRawMessages("raw-fixture", TOOLS);
  let cached = { bytes: -1, json: "" };
  const payload = (bytes: number): string => {
    if (cached.bytes !== bytes) cached = { bytes, json: JSON.stringify("x".repeat(bytes)) };
    return cached.json;
  };

  return {
    messages,
    call(message, id, modern) {
      const args = message.params?.arguments;
      const answer = (text: string, waitMs = options.delayMs): RawToolAnswer => ({
        body: success(id, messages.text(text, modern)),
        waitMs,
      });
      switch (message.params?.name) {
        case "echo":
          return answer(JSON.stringify(String(args?.["text"] ?? "")));
        case "payload":
          return answer(payload(Number(args?.["bytes"] ?? options.resultBytes)));
        case "wait": {
          const waitMs = options.delayMs + Number(args?.["ms"] ?? 0);
          return answer(`"waited ${waitMs} ms"`, waitMs);
        }
        default:
          return { body: failure(id, -32602, `Tool ${message.params?.name} not found`), waitMs: 0 };
      }
    },
  };
}
