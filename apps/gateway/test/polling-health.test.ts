import { describe, expect, it } from "vitest";
import { checkHealth } from "../src/polling/check-health.ts";

const answering = (era: string, answer: unknown) => {
  const asked: string[] = [];
  const session = {
    era,
    request: ({ method }: { method: string }) => {
      asked.push(method);
      return Promise.resolve(answer);
    },
  };
  return { asked, session: session as never };
};

describe("a health check", () => {
  it("pings, or discovers where there is no ping", async () => {
    for (const [era, method] of [
      ["legacy", "ping"],
      ["modern", "server/discover"],
    ] as const) {
      const { asked, session } = answering(era, { kind: "result" });
      await checkHealth(session, 100);
      expect(asked).toEqual([method]);
    }
  });

  it("takes an unknown method for a sign of life, and any other error for a failure", async () => {
    const error = (code: number) => ({ kind: "error", value: () => ({ code, message: "no" }) });
    await checkHealth(answering("legacy", error(-32601)).session, 100);
    await expect(checkHealth(answering("legacy", error(-32603)).session, 100)).rejects.toThrow(/ping failed/);
  });
});
