import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import {
  createPluginPipeline,
  type HookRecord,
  type PluginEntry,
  type RequestContext,
} from "../src/index.ts";
import { deferred, fakeTime, toolCall, toolPlugin } from "./support.ts";

const background = { phase: "fire_and_forget" } as const;

/** Runs one plugin once and waits for its record. */
async function recordOf(
  entry: PluginEntry,
  limits: object = {},
  context: Partial<RequestContext> = {},
): Promise<HookRecord | undefined> {
  const records: HookRecord[] = [];
  const observer = { record: (record: HookRecord) => void records.push(record) };
  await using pipeline = await createPluginPipeline({ plugins: [entry], limits }, { observer });
  using scope = pipeline.begin({ requestId: "r", ...context });
  expect(await scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({ allowed: true });
  await eventually(() => records.length > 0);
  return records[0];
}

describe("handlers in the background", () => {
  it("PF-R5 are not given a payload over the limit, unless they do not read it", async () => {
    let given = 0;
    const use = (reads: "body" | "none") => toolPlugin("log", () => void given++, { ...background, reads });
    const limits = { payloadCharacters: 10 };
    expect(await recordOf({ use: use("body") }, limits)).toMatchObject({
      status: "error",
      effectiveAllow: true,
      reason: expect.stringContaining("more than 10 characters"),
    });
    expect(given).toBe(0);
    expect(await recordOf({ use: use("none") }, limits)).toMatchObject({ status: "completed" });
    expect(given).toBe(1);
  });

  it("their duration is the handler's own", async () => {
    const { fake, clock } = fakeTime();
    const [begun, hold] = [deferred(), deferred()];
    const records: HookRecord[] = [];
    const observer = { record: (record: HookRecord) => void records.push(record) };
    const handler = () => {
      begun.resolve();
      return hold.promise;
    };
    const use = toolPlugin("log", handler, background);
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] }, { clock, observer });
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    await begun.promise;
    await fake.advance(7);
    hold.resolve();
    await eventually(() => records.length === 1);
    expect(records[0]).toMatchObject({ status: "completed", durationNs: 7_000_000 });
  });

  it("a host's object that throws when it is read ends its handler alone", async () => {
    const user = {
      get email(): string {
        throw new Error("not now");
      },
    };
    const conditions = [{ userPatterns: ["ann"] }];
    const entries = [
      { use: toolPlugin("picky", () => undefined, background), conditions },
      { use: toolPlugin("plain", () => undefined, background) },
    ];
    const records: HookRecord[] = [];
    const observer = { record: (record: HookRecord) => void records.push(record) };
    const limits = { backgroundHandlers: 2 };
    await using pipeline = await createPluginPipeline({ plugins: entries, limits }, { observer });
    for (const requestId of ["1", "2"]) {
      using scope = pipeline.begin({ requestId, user });
      await scope.invoke("tool_pre_invoke", toolCall);
      await eventually(() => records.length === Number(requestId));
    }
    expect(records).toMatchObject([
      { plugin: "plain", status: "completed" },
      { plugin: "plain", status: "completed" },
    ]);
  });
});
