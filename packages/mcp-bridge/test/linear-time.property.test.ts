import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMessage, SseDecoder, WireError } from "../src/index.ts";
import { readAnswer } from "../src/upstream/answer.ts";
import { LineSplitter } from "../src/upstream/line-splitter.ts";

/** How much longer the long input is. A quadratic reader takes that many times as long for it as for as many short ones. */
const FACTOR = 8;
const SHORT_BYTES = 128 * 1024;
/** Most that the long input may take, as a multiple of what as many short ones take, which leave as much garbage. */
const BOUND = 3;
/** Below this the long input took too little time to tell anything. */
const NOISE_MS = 25;

type Reader = (bytes: Buffer) => void;

/** What reads bytes that others wrote. */
const READERS: { readonly [name: string]: Reader } = {
  parseMessage: (bytes) => {
    try {
      parseMessage(bytes);
    } catch (error) {
      if (!WireError.is(error)) throw error;
    }
  },
  readAnswer: (bytes) => {
    readAnswer(bytes, "7", 200, "json");
  },
  "SseDecoder, one chunk": (bytes) => decoder().push(bytes),
  "SseDecoder, small chunks": (bytes) => inChunks(bytes, decoder()),
  "LineSplitter, small chunks": (bytes) =>
    inChunks(bytes, new LineSplitter({ maxBytes: 1 << 24, tooLong: "fail", onLine: () => undefined })),
};

const decoder = () => new SseDecoder({ onEvent: () => undefined });

function inChunks(bytes: Buffer, reader: { push(chunk: Buffer): void }): void {
  for (let at = 0; at < bytes.length; at += 1_000) reader.push(bytes.subarray(at, at + 1_000));
}

/** Where the repeated piece stands. */
const FRAMES: readonly (readonly [string, string])[] = [
  ["", ""],
  ['{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{', '"x":1}}'],
  ['{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","arguments":{', '"x":1}}}'],
  ['{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{', '"x":1}}}'],
  ["{", '"jsonrpc":"2.0","id":7,"result":{}}'],
  ['{"jsonrpc":"2.0","id":1,"method":"x","params":{"', '":1}}'],
  ['{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"', '"}}'],
  ['{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[', "0]}}"],
  ['{"jsonrpc":"2.0","result":{"a":[', '0]},"id":7,"x":1}'],
];

const long = "k".repeat(60);
const PIECES = [
  `"${long}":1,`,
  `"${long}\\"":"",`,
  `"\\u0061${long}":{},`,
  `"${long}":"${long}",`,
  '"name":1,',
  '"",',
  "[],",
  '{"a":1},',
  "\\\\",
  '\\"',
  "\\",
  '"',
  long,
  "{",
  "[",
  "}",
  "]",
  ",",
  ":",
  " ",
  "\r",
  "\n",
  "\r\n",
  "\n\n",
  "data: x",
  "data\n",
  "id: 1\n",
  "é",
  "1",
];

const piece = fc
  .array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 3 })
  .map((pieces) => pieces.join(""));

function input([head, tail]: readonly [string, string], unit: string, bytes: number): Buffer {
  return Buffer.from(head + unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit))) + tail);
}

/** Processor time of this thread: what else the machine does is not the reader's. */
function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function timeOf(read: Reader, bytes: Buffer): number {
  const start = processorMs();
  read(bytes);
  return processorMs() - start;
}

/**
 * Whether the time grows with the length alone: the least time of a few runs counts, as collecting garbage only adds
 * to it, and the long input, which takes most, is read again only before it is denied.
 */
function isLinear(read: Reader, short: Buffer, long: Buffer): boolean {
  const readAll: Reader = (bytes) => {
    for (let run = 0; run < FACTOR; run++) read(bytes);
  };
  let longMs = Number.POSITIVE_INFINITY;
  let shortMs = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 12; attempt++) {
    // The long one first: what is read afterwards is read by code that is compiled.
    longMs = Math.min(longMs, timeOf(read, long));
    if (longMs <= NOISE_MS) return true;
    shortMs = Math.min(shortMs, timeOf(readAll, short));
    if (longMs <= shortMs * BOUND) return true;
  }
  return false;
}

describe("the time that readers take", () => {
  // Slow: what has millions of events is read several times.
  it.each(Object.entries(READERS))(
    "grows with the length of what they read, not faster: %s",
    {
      timeout: 120_000,
    },
    (_, read) => {
      fc.assert(
        fc.property(fc.constantFrom(...FRAMES), piece, (frame, unit) => {
          const short = input(frame, unit, SHORT_BYTES);
          expect(isLinear(read, short, input(frame, unit, SHORT_BYTES * FACTOR))).toBe(true);
        }),
        {
          numRuns: 15,
          // The shapes that once were quadratic are always among them.
          examples: [
            [FRAMES[1] ?? ["", ""], `"${long}":1,`],
            [FRAMES[0] ?? ["", ""], "\r"],
          ],
        },
      );
    },
  );
});
