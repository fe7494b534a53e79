import { describe, expect, it } from "vitest";
import { startEchoServer } from "../src/index.ts";
import { connect, type Mode, textOf } from "./connect.ts";

describe("echo server", () => {
  for (const mode of ["legacy", "auto", "modern"] satisfies Mode[]) {
    it(`echoes to the official client in ${mode} mode`, async () => {
      await using server = await startEchoServer();
      await using connected = await connect(server.url, mode);
      const echoed = await connected.client.callTool({ name: "echo", arguments: { text: "hello" } });
      expect(textOf(echoed as never)).toBe("hello");
      const failed = await connected.client.callTool({ name: "fail", arguments: { text: "sorry" } });
      expect(failed.isError).toBe(true);
    });
  }

  it("keeps a session per legacy client and none for modern ones", async () => {
    await using server = await startEchoServer();
    const one = await connect(server.url, "legacy");
    const two = await connect(server.url, "legacy");
    await using _modern = await connect(server.url, "modern");
    expect(server.stats()).toMatchObject({ sessionsOpened: 2, sessionsClosed: 0 });
    await one.end();
    await two.end();
    expect(server.stats()).toMatchObject({ sessionsOpened: 2, sessionsClosed: 2 });
  });

  it("answers 404 to a session it does not know", async () => {
    await using server = await startEchoServer();
    const answer = await fetch(server.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-session-id": "nobody",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
    });
    expect(answer.status).toBe(404);
  });

  it("leaves no socket behind when closed in mid-session", async () => {
    const server = await startEchoServer();
    const { client } = await connect(server.url, "legacy");
    await server.close();
    expect(server.stats().connections).toBe(0);
    await expect(client.listTools()).rejects.toThrow();
  });
});
