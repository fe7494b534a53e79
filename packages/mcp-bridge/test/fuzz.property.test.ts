import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkHeaders,
  decodeHeaderValue,
  encodeHeaderValue,
  mirroredMember,
  parseMessage,
  type RequestMessage,
  SseDecoder,
  SseLimitError,
} from "../src/index.ts";
import { readAnswer } from "../src/upstream/answer.ts";

const methods = [
  "tools/call",
  "prompts/get",
  "resources/read",
  "tasks/get",
  "tools/list",
  "server/discover",
  "x",
];
const method = fc.oneof(fc.constantFrom(...methods), fc.string());
const value = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("=?base64?", "=?base64?aA==?="),
);
const params = fc.record(
  { name: fc.oneof(value, fc.integer()), uri: value, taskId: value },
  { requiredKeys: [] },
);
const id = fc.oneof(fc.integer(), fc.string());

function request(body: { readonly id: string | number; readonly method: string; readonly params: object }) {
  const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...body })));
  if (message.kind !== "request") throw new Error("no request");
  return message;
}

/** The headers that a client of 2026-07-28 has to send with a message. */
function honestHeaders(message: RequestMessage): Record<string, string> {
  const member = mirroredMember(message.method);
  const name = member === undefined ? undefined : message.params?.[member];
  return {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": message.method,
    ...(typeof name === "string" ? { "mcp-name": encodeHeaderValue(name) } : {}),
  };
}

describe("the header rules under any input", () => {
  it("never throw, and what they refuse they refuse with the request's id", () => {
    const headers = fc.dictionary(
      fc.constantFrom("mcp-protocol-version", "mcp-method", "mcp-name", "MCP-NAME", "x"),
      fc.oneof(value, fc.array(value, { maxLength: 2 })),
    );
    fc.assert(
      fc.property(headers, id, method, params, (given, id, method, params) => {
        const refused = checkHeaders(given, request({ id, method, params }));
        if (refused === undefined) return;
        expect(refused).toMatchObject({ rpcCode: -32020, httpStatus: 400 });
        expect(JSON.parse(refused.idText)).toBe(id);
      }),
      { numRuns: 3_000 },
    );
  });

  it("accept what an honest client sends, and nothing that differs from it", () => {
    // A method with white space around it cannot be told from one without: HTTP trims header values.
    const trimmed = method.filter((text) => text.trim() === text);
    const change = fc.constantFrom("mcp-method", "mcp-name", "mcp-protocol-version");
    fc.assert(
      fc.property(id, trimmed, params, change, value, (id, method, params, header, other) => {
        const message = request({ id, method, params });
        const headers = honestHeaders(message);
        expect(checkHeaders(headers, message)).toBeUndefined();
        if (headers[header] === undefined) return;
        const { [header]: _, ...without } = headers;
        expect(checkHeaders(without, message)?.rpcCode).toBe(-32020);
        if (header === "mcp-protocol-version") return;
        const same = decodeHeaderValue(other.trim()) === decodeHeaderValue(headers[header].trim());
        const verdict = checkHeaders({ ...headers, [header]: other }, message);
        if (header === "mcp-name" && same) expect(verdict).toBeUndefined();
        else if (other.trim() !== headers[header]) expect(verdict?.rpcCode).toBe(-32020);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("the decoder of event streams under any input", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom(
        "data:",
        "data: x",
        "id: 1",
        "id",
        "retry: 5",
        "event: m",
        ":",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\ufeff",
      )
      .map((text) => Buffer.from(text)),
  );

  it("throws nothing but its limit, and reports no more than came", () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.integer({ min: 1, max: 200 }),
        (pieces, maxEventBytes) => {
          let reported = 0;
          const decoder = new SseDecoder({
            maxEventBytes,
            onEvent: ({ data }) => {
              expect(data.length).toBeLessThanOrEqual(maxEventBytes);
              reported += data.length;
            },
          });
          try {
            for (const bytes of pieces) decoder.push(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(SseLimitError);
          }
          expect(reported).toBeLessThanOrEqual(pieces.reduce((sum, { length }) => sum + length, 0));
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe("the reader of upstreams' answers under any input", () => {
  it("never throws, and takes nothing for an answer that is none", () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({ jsonrpc: fc.constant("2.0"), id: fc.oneof(id, fc.constant(7)), result: fc.jsonValue() })
        .map((v) => JSON.stringify(v)),
    );
    fc.assert(
      fc.property(text, (text) => {
        const answer = readAnswer(Buffer.from(text), "7", 200, "json");
        if (answer === undefined) return;
        expect(JSON.parse(text)).toMatchObject({ id: 7 });
      }),
      { numRuns: 3_000 },
    );
  });
});
