import { describe, expect, it } from "vitest";
import { startSlowServer } from "../src/index.ts";
import { connect, type Mode, textOf } from "./connect.ts";

describe("slow server", () => {
  for (const mode of ["legacy", "modern"] satisfies Mode[]) {
    it(`answers after the asked time, with progress, in ${mode} mode`, async () => {
      await using server = await startSlowServer();
      await using connected = await connect(server.url, mode);
      const steps: number[] = [];
      const answer = await connected.client.callTool(
        { name: "slow", arguments: { ms: 30, steps: 3 } },
        { onprogress: ({ progress }) => steps.push(progress) },
      );
      expect(textOf(answer as never)).toBe("done after 30 ms");
      expect(steps).toEqual([1, 2, 3]);
      expect(server.calls()).toEqual({ started: 1, completed: 1, aborted: 0 });
    });

    it(`sees the client's abort in ${mode} mode`, async () => {
      await using server = await startSlowServer();
      await using connected = await connect(server.url, mode);
      const gone = new AbortController();
      const call = connected.client
        .callTool({ name: "hang" }, { signal: gone.signal })
        .catch(() => "aborted");
      await expect.poll(() => server.calls().started).toBe(1);
      gone.abort();
      expect(await call).toBe("aborted");
      await expect.poll(() => server.calls()).toEqual({ started: 1, completed: 0, aborted: 1 });
    });
  }

  it("closes while a call hangs", async () => {
    const server = await startSlowServer();
    const { client } = await connect(server.url, "modern");
    const call = client.callTool({ name: "hang" }).catch(() => "cut");
    await expect.poll(() => server.calls().started).toBe(1);
    await server.close();
    expect(await call).toBe("cut");
    expect(server.calls().aborted).toBe(1);
  });
});
