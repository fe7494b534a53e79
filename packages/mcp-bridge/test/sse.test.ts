import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeSse, encodeSseComment, SseDecoder, type SseEvent, SseLimitError } from "../src/index.ts";

function decode(chunks: readonly (string | Buffer)[], maxEventBytes?: number) {
  const events: { data: string; event: string; id: string | undefined }[] = [];
  const retries: number[] = [];
  const decoder = new SseDecoder({
    onEvent: ({ data, event, id }: SseEvent) => events.push({ data: data.toString(), event, id }),
    onRetry: (milliseconds) => retries.push(milliseconds),
    ...(maxEventBytes !== undefined && { maxEventBytes }),
  });
  for (const chunk of chunks) decoder.push(Buffer.from(chunk));
  return { events, retries, lastEventId: decoder.lastEventId };
}

describe("SseDecoder", () => {
  it("reads fields, comments, types, ids and retry", () => {
    const text =
      ': hi\nevent: message\nid: 7\nretry: 250\ndata: {"a":\ndata:1}\nwhat: ever\nlone\n\ndata\n\nevent: x\n\n';
    expect(decode([text])).toEqual({
      events: [
        { data: '{"a":\n1}', event: "message", id: "7" },
        { data: "", event: "message", id: "7" },
      ],
      retries: [250],
      lastEventId: "7",
    });
  });

  it("reports the empty first event of a 2025-11-25 answer, for its id", () => {
    expect(decode(["id: s_0\ndata:\n\nid: s_1\n\n"]).events).toEqual([
      { data: "", event: "message", id: "s_0" },
      { data: "", event: "message", id: "s_1" },
    ]);
  });

  it("takes LF, CR and CRLF, and skips a byte order mark", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
      expect(
        decode([`\uFEFFdata: a${end}${end}data: b${end}${end}`]).events.map((event) => event.data),
      ).toEqual(["a", "b"]);
    }
  });

  it("ignores ids with NUL, wrong retry times and unfinished events", () => {
    expect(decode(["id: a\0b\nretry: 1x\ndata: x\n\ndata: never"])).toEqual({
      events: [{ data: "x", event: "message", id: undefined }],
      retries: [],
      lastEventId: undefined,
    });
  });

  it("refuses an event over its limit, in one line or in many", () => {
    expect(() => decode(["data: ", "x".repeat(50), "x".repeat(60)], 100)).toThrow(SseLimitError);
    expect(() => decode(["data: 0123456789\n".repeat(20)], 100)).toThrow(SseLimitError);
  });

  it("yields the same events wherever the chunks are cut", () => {
    const line = fc.constantFrom(
      "data: é{}",
      "data:",
      "id: 1",
      "event: ping",
      ": c",
      "retry: 5",
      "",
      "",
      "data: ∑ x",
    );
    const stream = fc.tuple(
      fc.array(line, { maxLength: 30 }),
      fc.array(fc.constantFrom("\n", "\r", "\r\n"), { minLength: 1 }),
    );
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200), { maxLength: 12 }), ([lines, ends], cuts) => {
        const text = lines.map((entry, index) => entry + ends[index % ends.length]).join("");
        // A lone CR as the very last byte may yet become CRLF; one more line settles it.
        const bytes = Buffer.from(`${text}data: end\n\n`);
        const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
        const chunks = [...places, bytes.length].map((end, index) =>
          bytes.subarray(places[index - 1] ?? 0, end),
        );
        expect(decode(chunks)).toEqual(decode([bytes]));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("encodeSse", () => {
  it("writes what the decoder reads", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.option(fc.stringMatching(/^[a-z0-9_]{1,9}$/)),
        fc.boolean(),
        (data, eventId, binary) => {
          const fields = {
            data: binary ? Buffer.from(data) : data,
            event: "message",
            ...(eventId !== null && { id: eventId }),
          };
          const { events } = decode([encodeSse(fields)]);
          expect(events).toEqual([
            { data: data.replaceAll(/\r\n|\r|\n/g, "\n"), event: "message", id: eventId ?? undefined },
          ]);
        },
      ),
    );
  });

  it("writes retry, comments and an id alone", () => {
    expect(encodeSse({ id: "1", retry: 12.7 }).toString()).toBe("id: 1\nretry: 12\n\n");
    expect(encodeSse({ data: Buffer.from("{}"), event: "e" }).toString()).toBe("event: e\ndata: {}\n\n");
    expect(encodeSseComment("ping").toString()).toBe(": ping\n\n");
  });

  it("refuses line breaks where they would forge fields", () => {
    expect(() => encodeSse({ event: "a\ndata: b" })).toThrow(RangeError);
    expect(() => encodeSse({ id: "a\0" })).toThrow(RangeError);
    expect(() => encodeSseComment("a\r")).toThrow(RangeError);
  });
});
