import { describe, expect, it } from "vitest";
import { startCrashServer, startFixtureProcess } from "../src/index.ts";
import { connect, textOf } from "./connect.ts";

describe("crash server", () => {
  it("dies in mid-call and forgets its sessions when it comes back", async () => {
    await using server = await startCrashServer();
    await using before = await connect(server.url, "legacy");
    // A legacy client waits for a broken answer to be resumed, so it must be told when to give up.
    await expect(before.client.callTool({ name: "crash" }, { timeout: 1_000 })).rejects.toThrow();
    expect(server.crashes()).toBe(1);
    await expect(connect(server.url, "modern")).rejects.toThrow();
    await server.restart();
    await expect(before.client.callTool({ name: "echo", arguments: { text: "x" } })).rejects.toThrow(
      /Session not found/,
    );
    await using after = await connect(server.url, "auto");
    expect(textOf((await after.client.callTool({ name: "echo", arguments: { text: "x" } })) as never)).toBe(
      "x",
    );
  });

  it("takes its whole process along when it has one", async () => {
    await using server = await startFixtureProcess("crash");
    await using connected = await connect(server.url, "modern");
    await expect(connected.client.callTool({ name: "crash" })).rejects.toThrow();
    await expect(fetch(new URL("/stats", server.url))).rejects.toThrow();
  });
});
