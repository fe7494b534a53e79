import { expect, it } from "vitest";
import { completeModern, toModern } from "../src/bridge/index.ts";
import { UpstreamAnswer } from "../src/upstream/index.ts";

const answer = (result: string) =>
  new UpstreamAnswer(
    "result",
    Buffer.from(`{"jsonrpc":"2.0","id":1,"result":${result}}`),
    { start: 21, end: 23 },
    200,
    "json",
  );

it.each([1, 1_100, 200_000])("a result says what it is, however deep it is nested: %i", (depth) => {
  const deep = `"x":${"[".repeat(depth)}${"]".repeat(depth)}`;
  for (const translate of [toModern, completeModern]) {
    expect(translate(answer(`{${deep}}`), "tools/call").bytes.toString()).toBe(
      `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete",${deep}}}`,
    );
    const whole = answer(`{${deep},"resultType":"complete"}`);
    expect(translate(whole, "tools/call")).toBe(whole);
  }
});

it.each(["null", "5", '"x"', "[]", "true"])("a result that is no object ends the call: %s", (result) => {
  for (const translate of [toModern, completeModern]) {
    const broken = expect.objectContaining({ code: "upstream_protocol", phase: "response_received" });
    expect(() => translate(answer(result), "tools/call")).toThrow(broken);
  }
});
