// Cost of reading, classifying and rewriting one message, beside JSON.parse and parse + stringify of the same text.
import { bench, run, summary } from "mitata";
import { classifyEra, META, parseMessage, SseDecoder, splice } from "../src/index.ts";
import { locateAnswer } from "../src/upstream/answer.ts";

const envelope = `"_meta":{"progressToken":3,"${META.protocolVersion}":"2026-07-28","${META.clientInfo}":{"name":"c","version":"1"},"${META.clientCapabilities}":{}}`;
const call = (args: string) =>
  Buffer.from(
    `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"slug_echo","arguments":${args},${envelope}}}`,
  );
const small = call('{"text":"hello","n":12}');
const large = call(JSON.stringify({ text: "lorem ipsum ".repeat(4_000) }));
const headers = { "mcp-protocol-version": "2026-07-28" };

function rewrite(bytes: Buffer): Buffer {
  const message = parseMessage(bytes);
  if (message.kind !== "request" || !message.spans.name) throw new Error("Not a call.");
  const edits = [
    { ...message.idSpan, text: "99" },
    { ...message.spans.name, text: '"echo"' },
  ];
  return splice(bytes, edits);
}

function rewriteByJson(bytes: Buffer): Buffer {
  const message = JSON.parse(bytes.toString()) as { id: number; params: { name: string } };
  message.id = 99;
  message.params.name = "echo";
  return Buffer.from(JSON.stringify(message));
}

for (const [name, bytes] of [
  ["small call", small],
  ["48 KB call", large],
] as const) {
  summary(() => {
    bench(`${name}: JSON.parse alone`, () => JSON.parse(bytes.toString()));
    bench(`${name}: parseMessage`, () => parseMessage(bytes));
    bench(`${name}: parseMessage + classifyEra`, () => classifyEra(headers, parseMessage(bytes)));
    bench(`${name}: parse, rewrite id and name`, () => rewrite(bytes));
    bench(`${name}: the same by JSON.parse + stringify`, () => rewriteByJson(bytes));
  });
}

const text = "x".repeat(50_000);
const answers = {
  "id in front": Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 7, result: { text } })),
  "id at the end": Buffer.from(JSON.stringify({ result: { text }, jsonrpc: "2.0", id: 7 })),
  "id between": Buffer.from(JSON.stringify({ jsonrpc: "2.0", result: { text }, id: 7, x: 1 })),
};
summary(() => {
  for (const [name, bytes] of Object.entries(answers))
    bench(`50 KB answer, ${name}: locate`, () => locateAnswer(bytes));
  bench("50 KB answer: JSON.parse", () => JSON.parse(answers["id in front"].toString()));
});

const event = Buffer.from(`id: 1\nevent: message\ndata: ${small.toString()}\n\n`);
bench("one SSE event with a small call", () => {
  new SseDecoder({ onEvent: () => undefined }).push(event);
});

await run();
