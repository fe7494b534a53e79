import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import type { Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import { ByteCollector, collect, collected, SseDecoder } from "../src/index.ts";
import { Deadlines } from "../src/upstream/deadlines.ts";
import { HttpExchange } from "../src/upstream/http-exchange.ts";
import { LineSplitter } from "../src/upstream/index.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that this process holds, once what nobody needs is gone. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const megabyte = 1_048_576;

/** What it takes to hold a million bytes that came one by one. */
function takenBy(push: (chunk: Buffer) => void): number {
  const before = heldBytes();
  const read = Buffer.alloc(megabyte, "x");
  for (let at = 0; at < read.length; at++) push(read.subarray(at, at + 1));
  return heldBytes() - before;
}

describe("ByteCollector", () => {
  it("gives back what came, however it was cut, and again after that", () => {
    const sizes = fc.array(fc.oneof(fc.nat(40), fc.nat(5_000), fc.nat(200_000)), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.boolean(), (lengths, viewed) => {
        const all = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251));
        const bytes = new ByteCollector();
        for (let turn = 0; turn < 2; turn++) {
          const chunks = lengths.map((length, index) => {
            const part = all.subarray(index, index + length);
            return viewed ? part : Buffer.from(part);
          });
          for (const chunk of chunks) bytes.add(chunk);
          const whole = Buffer.concat(chunks);
          expect(bytes.length).toBe(whole.length);
          expect(bytes.heldBytes).toBeLessThanOrEqual(Math.max(2 * whole.length, whole.length + 4_096));
          expect(bytes.take().equals(whole)).toBe(true);
          expect([bytes.length, bytes.heldBytes]).toEqual([0, 0]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("a single chunk is not copied, nor are large ones before the end", () => {
    const chunk = Buffer.alloc(100_000);
    expect(collected(collect(undefined, chunk))).toBe(chunk);
    expect(collected(undefined)).toHaveLength(0);
    const two = collect(collect(undefined, chunk), Buffer.alloc(50_000)) as ByteCollector;
    expect(two.heldBytes).toBe(150_000);
    // A little of what was read at once would hold all of it.
    const little = collect(collect(undefined, chunk.subarray(0, 5_000)), chunk.subarray(5_000, 5_001));
    expect((little as ByteCollector).heldBytes).toBeLessThanOrEqual(2 * 5_001);
  });

  it("chunks of one byte take a few bytes each: in a line, an event's line, its many lines, a body", async () => {
    const lines: Buffer[] = [];
    const splitter = new LineSplitter({
      onLine: (line) => lines.push(line),
      maxBytes: 2 * megabyte,
      tooLong: "fail",
    });
    expect(takenBy((chunk) => splitter.push(chunk))).toBeLessThan(16 * megabyte);
    splitter.push(Buffer.from("\n"));
    expect(lines[0]).toHaveLength(megabyte);

    const events: Buffer[] = [];
    const decoder = new SseDecoder({ onEvent: ({ data }) => events.push(data) });
    decoder.push(Buffer.from("data:"));
    expect(takenBy((chunk) => decoder.push(chunk))).toBeLessThan(16 * megabyte);
    decoder.push(Buffer.from("\n"));
    const line = Buffer.from("data:x\n");
    expect(takenBy(() => decoder.push(line))).toBeLessThan(16 * megabyte);
    decoder.push(Buffer.from("\n"));
    expect(events[0]).toHaveLength(3 * megabyte);
    expect(events[0]?.subarray(megabyte - 2, megabyte + 4).toString()).toBe("xx\nx\nx");

    const options = { signal: undefined, timeoutMs: 0, maxBytes: 2 * megabyte };
    const exchange = new HttpExchange(options, new Deadlines());
    const controller = { abort: () => undefined } as unknown as Dispatcher.DispatchController;
    exchange.onResponseStart(controller, 200, {});
    expect(takenBy((chunk) => exchange.onResponseData(controller, chunk))).toBeLessThan(16 * megabyte);
    exchange.onResponseEnd();
    expect((await exchange.answer).body).toHaveLength(megabyte);
  });
});
