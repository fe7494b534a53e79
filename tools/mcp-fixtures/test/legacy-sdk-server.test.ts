import { describe, expect, it } from "vitest";
import { startLegacySdkServer } from "../src/index.ts";
import { connect, type Mode, textOf } from "./connect.ts";

describe("server on the 1.x SDK", () => {
  for (const mode of ["legacy", "auto"] satisfies Mode[]) {
    for (const jsonResponses of [false, true]) {
      it(`echoes to the official client in ${mode} mode, JSON answers ${jsonResponses}`, async () => {
        await using server = await startLegacySdkServer({ jsonResponses });
        const connected = await connect(server.url, mode);
        expect(connected.client.getProtocolEra()).toBe("legacy");
        const echoed = await connected.client.callTool({ name: "echo", arguments: { text: "old" } });
        expect(textOf(echoed as never)).toBe("old");
        await connected.end();
        expect(server.stats()).toMatchObject({ sessionsOpened: 1, sessionsClosed: 1 });
      });
    }
  }

  it("does not serve a client that insists on the modern era", async () => {
    await using server = await startLegacySdkServer();
    await expect(connect(server.url, "modern")).rejects.toThrow();
  });

  it("answers unreadable JSON with 400, and 404 to a session it does not know", async () => {
    await using server = await startLegacySdkServer();
    const post = (body: string, headers: Record<string, string> = {}) =>
      fetch(server.url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...headers,
        },
        body,
      });
    expect((await post("{nope")).status).toBe(400);
    expect((await post("{}", { "mcp-session-id": "nobody" })).status).toBe(404);
  });
});
