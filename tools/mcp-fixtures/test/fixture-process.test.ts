import { describe, expect, it } from "vitest";
import { startFixtureProcess } from "../src/index.ts";
import { connect, textOf } from "./connect.ts";

describe("fixtures as processes", () => {
  it("prints the URL, serves, reports and stops on SIGTERM", async () => {
    await using server = await startFixtureProcess("raw", ["--delay-ms", "1"]);
    await using connected = await connect(server.url, "legacy");
    const echoed = await connected.client.callTool({ name: "echo", arguments: { text: "over there" } });
    expect(textOf(echoed as never)).toBe("over there");
    expect(await server.stats()).toMatchObject({ requests: { "tools/call": 1 }, sessionsOpened: 1 });
    await server.stop();
    expect(() => process.kill(server.pid, 0)).toThrow(/ESRCH/);
  });

  it("says which names it knows", async () => {
    await expect(startFixtureProcess("nonsense")).rejects.toThrow(/ended with 2/);
  });
});
