import { describe, expect, it } from "vitest";
import { type Message, parseMessage, splice, textOf, WireError } from "../src/index.ts";

const parse = (text: string, limits = {}) => parseMessage(Buffer.from(text), limits);

function refusal(run: () => unknown): WireError {
  try {
    run();
  } catch (error) {
    expect(WireError.is(error)).toBe(true);
    return error as WireError;
  }
  throw new Error("Nothing was thrown.");
}

function request(message: Message) {
  if (message.kind !== "request") throw new Error(`Expected a request, got ${message.kind}.`);
  return message;
}

describe("parseMessage", () => {
  it("finds the spans of what a gateway rewrites", () => {
    const text =
      '{ "jsonrpc" : "2.0" , "id" : 9007199254740993 , "method" : "tools/call", "params": {"name" : "a_b", "arguments":{"name":"inner"}, ' +
      '"_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28","x":[1,{"y":"}"}]}} }';
    const message = request(parse(text));
    const at = (key: keyof typeof message.spans) => {
      const span = message.spans[key];
      return span && textOf(message.bytes, span);
    };
    expect(textOf(message.bytes, message.idSpan)).toBe("9007199254740993");
    expect(textOf(message.bytes, message.methodSpan)).toBe('"tools/call"');
    expect(at("name")).toBe('"a_b"');
    expect(at("arguments")).toBe('{"name":"inner"}');
    expect(at("progressToken")).toBe('"p"');
    expect(at("protocolVersion")).toBe('"2026-07-28"');
    expect(at("uri")).toBeUndefined();
    expect(message.params?.["name"]).toBe("a_b");
  });

  it("lets a name be replaced and keeps every other byte", () => {
    const text =
      '{"id":1,"jsonrpc":"2.0","params":{"n":1e400,"b":1.0,"name":"slug_tool","a":"\\u00e9é"},"method":"tools/call"}';
    const message = request(parse(text));
    const { name } = message.spans;
    const bytes = splice(message.bytes, name ? [{ ...name, text: '"tool"' }] : []);
    expect(bytes.toString()).toBe(text.replace("slug_tool", "tool"));
  });

  it("tells requests, notifications, results and errors apart", () => {
    expect(parse('{"jsonrpc":"2.0","id":"a","method":"x"}').kind).toBe("request");
    expect(parse('{"jsonrpc":"2.0","method":"x","params":{}}').kind).toBe("notification");
    expect(parse('{"jsonrpc":"2.0","id":0,"result":{"a":1}}')).toMatchObject({
      kind: "response",
      outcome: "result",
      value: { a: 1 },
    });
    expect(parse('{"jsonrpc":"2.0","id":0,"error":{"code":1}}')).toMatchObject({ outcome: "error" });
  });

  it("keeps unknown members of the envelope as they came", () => {
    expect(parse('{"jsonrpc":"2.0","x": 1.0,"id":1,"method":"m","y":{"z":[]}}')).toMatchObject({
      extras: '"x": 1.0,"y":{"z":[]}',
    });
  });

  it("reads a batch and its elements", () => {
    const message = parse(' [{"jsonrpc":"2.0","method":"a"}, {"jsonrpc":"2.0","id":1,"method":"b"}]');
    if (message.kind !== "batch") throw new Error("Expected a batch.");
    expect(message.messages.map((element) => element.kind)).toEqual(["notification", "request"]);
    expect(refusal(() => parse("[]")).code).toBe("invalid_request");
    expect(refusal(() => parse("[1]")).code).toBe("invalid_request");
    const two = '[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"a"}]';
    expect(refusal(() => parse(two, { maxBatch: 1 })).code).toBe("invalid_request");
  });

  it.each([2_000, 5_000, 200_000])("refuses nesting %i levels deep and still names the id", (depth) => {
    const deep = "[".repeat(depth) + "]".repeat(depth);
    const error = refusal(() => parse(`{"jsonrpc":"2.0","id":"d","method":"x","params":{"a":${deep}}}`));
    expect(error).toMatchObject({ code: "too_deep", httpStatus: 400, rpcCode: -32600, idText: '"d"' });
    expect(refusal(() => parse("[".repeat(depth))).code).toBe("too_deep");
  });

  it("counts depth from the message itself", () => {
    const nested = (levels: number) =>
      `{"jsonrpc":"2.0","method":"x","params":${'{"a":'.repeat(levels)}1${"}".repeat(levels)}}`;
    expect(parse(nested(3), { maxDepth: 4 }).kind).toBe("notification");
    expect(refusal(() => parse(nested(4), { maxDepth: 4 })).code).toBe("too_deep");
  });

  it("refuses a body over the size limit with 413", () => {
    expect(refusal(() => parse('{"jsonrpc":"2.0"}', { maxBytes: 5 }))).toMatchObject({
      code: "too_large",
      httpStatus: 413,
    });
  });

  it.each([
    ["", "nothing"],
    ["   ", "white space"],
    ["{", "an open object"],
    ['{"jsonrpc"', "a lone key"],
    ['{"jsonrpc" "2.0"}', "a missing colon"],
    ['{"a":1,}', "a trailing comma"],
    ["{,}", "a lone comma"],
    ['{"a":"', "an open string"],
    [`{"a":"${"x".repeat(200)}`, "a long open string"],
    ['{"a":tru}', "a broken literal"],
    ['{"a":1}}', "a brace too many"],
    ['{"a":[1}', "mixed brackets"],
    ['{"a":}', "a missing value"],
    ['{"\\u12":1}', "a broken escape in a key"],
    ["{'a':1}", "single quotes"],
    ['{"jsonrpc":"2.0","id":1,"method":"x"} x', "text behind"],
    ["\uFEFF{}", "a byte order mark"],
  ])("refuses %j (%s) as a parse error", (text) => {
    const error = refusal(() => parse(text));
    expect(error).toMatchObject({ code: "parse_error", rpcCode: -32700, httpStatus: 400 });
  });

  it("refuses bytes that are not UTF-8", () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    expect(refusal(() => parseMessage(bytes)).code).toBe("parse_error");
  });

  it.each([
    ['{"id":1,"method":"x"}', "1"],
    ['{"jsonrpc":"1.0","id":1,"method":"x"}', "1"],
    ['{"jsonrpc":"2.0","id":1,"method":5}', "1"],
    ['{"jsonrpc":"2.0","id":null,"method":"x"}', "null"],
    ['{"jsonrpc":"2.0","id":1.5,"method":"x"}', "null"],
    ['{"jsonrpc":"2.0","id":{},"method":"x"}', "null"],
    ['{"jsonrpc":"2.0","id":1,"method":"x","params":[]}', "1"],
    ['{"jsonrpc":"2.0","id":1,"method":"x","params":null}', "1"],
    ['{"jsonrpc":"2.0","id":1,"method":"x","result":{}}', "1"],
    ['{"jsonrpc":"2.0","id":1}', "1"],
    ['{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', "1"],
    ['{"jsonrpc":"2.0","result":{}}', "null"],
    ["5", "null"],
    ['"x"', "null"],
    ["null", "null"],
  ])("refuses %s as an invalid request and answers with id %s", (text, idText) => {
    expect(refusal(() => parse(text))).toMatchObject({ code: "invalid_request", rpcCode: -32600, idText });
  });

  it.each([
    '{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}',
    '{"jsonrpc":"2.0","id":1,"\\u006dethod":"a","method":"b"}',
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"b"}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\\u0061me":"b"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{},"_meta":{}}}',
    '{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}',
  ])("refuses a field that two readers could see differently: %s", (text) => {
    expect(refusal(() => parse(text))).toMatchObject({
      code: "invalid_request",
      idText: text.includes('"id":2') ? "null" : "1",
    });
  });

  it("forwards doubled keys inside arguments", () => {
    const text =
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":2}}}';
    const { spans, bytes } = request(parse(text));
    expect(spans.arguments && textOf(bytes, spans.arguments)).toBe('{"x":1,"x":2}');
  });

  it("finds keys written with escapes, and the ends of long strings with escaped quotes", () => {
    const long = `${"y".repeat(80)}\\"${"z".repeat(80)}\\\\`;
    const message = request(
      parse(
        `{"jsonrpc":"2.0","id":1,"method":"x","params":{"pad":"${long}","n\\u0061me":"n","k${"k".repeat(80)}\\n":1}}`,
      ),
    );
    expect(message.spans.name && textOf(message.bytes, message.spans.name)).toBe('"n"');
  });

  it("has a _meta that is no object but is no error of the parser", () => {
    expect(
      request(parse('{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":5}}')).spans.meta,
    ).toBeDefined();
  });
});

describe("splice", () => {
  it("replaces, inserts and removes in order", () => {
    const edits = [
      { start: 0, end: 1, text: "A" },
      { start: 2, end: 2, text: Buffer.from("--") },
      { start: 3, end: 5, text: "" },
    ];
    expect(splice(Buffer.from("abcdefg"), edits).toString()).toBe("Ab--cfg");
    expect(splice(Buffer.from("abc"), []).toString()).toBe("abc");
  });

  it("refuses edits that overlap or leave the buffer", () => {
    const bytes = Buffer.from("abc");
    expect(() =>
      splice(bytes, [
        { start: 1, end: 3, text: "" },
        { start: 2, end: 3, text: "" },
      ]),
    ).toThrow(RangeError);
    expect(() => splice(bytes, [{ start: 2, end: 9, text: "" }])).toThrow(RangeError);
    expect(() => splice(bytes, [{ start: 2, end: 1, text: "" }])).toThrow(RangeError);
  });
});
