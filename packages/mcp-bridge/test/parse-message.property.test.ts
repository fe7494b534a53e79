import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMessage, splice, textOf, WireError } from "../src/index.ts";
import { locateAnswer } from "../src/upstream/answer.ts";

/** Like JSON.stringify, with white space where JSON allows it. */
function spaced(value: unknown, space: () => string): string {
  const s = space;
  if (Array.isArray(value))
    return `[${s()}${value.map((item) => spaced(item, s)).join(`${s()},${s()}`)}${s()}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(
      ([key, item]) => `${JSON.stringify(key)}${s()}:${s()}${spaced(item, s)}`,
    );
    return `{${s()}${members.join(`${s()},${s()}`)}${s()}}`;
  }
  return JSON.stringify(value);
}

const spacer = fc
  .array(fc.constantFrom("", "", " ", "\n", "\t", "\r\n"), { minLength: 1, maxLength: 20 })
  .map((pool) => {
    let at = 0;
    return () => pool[at++ % pool.length] ?? "";
  });

const id = fc.oneof(fc.integer(), fc.string());

describe("the parser under any input", () => {
  it("throws nothing but WireError, and a message always has its own bytes", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.string().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          try {
            parseMessage(Buffer.from(bytes));
          } catch (error) {
            expect(WireError.is(error)).toBe(true);
            expect(() => JSON.parse((error as WireError).idText)).not.toThrow();
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("survives any damage to a valid message", () => {
    const base = Buffer.from(
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":["\\"x",{}]},"_meta":{"progressToken":2}}}',
    );
    const damage = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.nat(base.length), (changes, cut) => {
        const bytes = Buffer.from(base.subarray(0, base.length - (cut % 7)));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          parseMessage(bytes);
        } catch (error) {
          expect(WireError.is(error)).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it("agrees with JSON.parse about every field, whatever the white space, order and further members", () => {
    const params = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(
        id,
        fc.string(),
        fc.string(),
        params,
        params,
        spacer,
        (callId, method, name, more, meta, space) => {
          const value = {
            ...more,
            jsonrpc: "2.0",
            id: callId,
            method,
            params: { ...more, name, _meta: meta },
          };
          delete (value as Record<string, unknown>)["result"];
          delete (value as Record<string, unknown>)["error"];
          const text = spaced(value, space);
          const message = parseMessage(Buffer.from(text));
          if (message.kind !== "request") throw new Error("Expected a request.");
          const whole = JSON.parse(text) as typeof value;
          expect(JSON.parse(textOf(message.bytes, message.idSpan))).toEqual(callId);
          expect(message.method).toBe(method);
          expect(message.params).toEqual(whole.params);
          expect(message.spans.name && JSON.parse(textOf(message.bytes, message.spans.name))).toBe(name);
          expect(message.spans.meta && JSON.parse(textOf(message.bytes, message.spans.meta))).toEqual(
            whole.params._meta,
          );
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("replaces an id and a name exactly as JSON would", () => {
    const params = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(
        id,
        id,
        fc.string(),
        fc.string(),
        params,
        spacer,
        (before, after, from, to, more, space) => {
          const value = { params: { ...more, name: from }, id: before, jsonrpc: "2.0", method: "tools/call" };
          const message = parseMessage(Buffer.from(spaced(value, space)));
          if (message.kind !== "request" || !message.spans.name)
            throw new Error("Expected a request with a name.");
          const edits = [
            { ...message.spans.name, text: JSON.stringify(to) },
            { ...message.idSpan, text: JSON.stringify(after) },
          ];
          const spliced = JSON.parse(splice(message.bytes, edits).toString()) as unknown;
          const plain = JSON.parse(JSON.stringify(value)) as typeof value;
          expect(spliced).toEqual({ ...plain, id: after, params: { ...plain.params, name: to } });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("finds the id and the kind of an answer without parsing it", () => {
    const result = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(
        fc.nat(),
        result,
        fc.constantFrom("result", "error"),
        fc.nat(5),
        spacer,
        (callId, value, kind, order, space) => {
          const members: [string, unknown][] = [
            ["jsonrpc", "2.0"],
            ["id", callId],
            [kind, value],
          ];
          const orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
          ];
          const ordered = Object.fromEntries(
            (orders[order] ?? []).map((index) => members[index] as [string, unknown]),
          );
          for (const text of [JSON.stringify(ordered), spaced(ordered, space)]) {
            const bytes = Buffer.from(text);
            const located = locateAnswer(bytes);
            expect(located?.kind).toBe(kind);
            expect(located && textOf(bytes, located.idSpan)).toBe(String(callId));
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
