import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadSecret } from "../src/secret/gateway-secret.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  echo = await startEchoServer();
  gateway = await startTestGateway();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
});

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

describe("secrets in the place of an upstream", () => {
  it("a name and password in a URL become credentials; the query and arguments are sealed, and masked for others", async () => {
    const made = await gateway.rest("POST", "/api/servers", {
      name: "ui",
      url: "http://user:SECRET%40PW@127.0.0.1:1/mcp?token=SECRETQ",
    });
    expect(made.body).toMatchObject({ url: "http://127.0.0.1:1/mcp?token=SECRETQ", hasCredentials: true });
    const record = await gateway.core.registry.upstream(made.body.id);
    const pair = Buffer.from("user:SECRET@PW").toString("base64");
    expect(record.credentials.headers).toEqual({ authorization: `Basic ${pair}` });
    const program = await gateway.rest("POST", "/api/servers", {
      name: "program",
      command: "/nonexistent",
      args: ["--token=SECRETARG"],
    });
    expect(program.body.args).toEqual(["--token=SECRETARG"]);
    const reader = await gateway.mint({ scopes: ["mcp"] });
    for (const path of ["/gateways", "/api/gateways", "/api/servers", `/gateways/${made.body.id}`]) {
      const { status, body } = await gateway.rest("GET", path, undefined, reader);
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toContain("SECRET");
      expect(JSON.stringify(body)).toContain("/mcp?token=***");
    }
    for (const part of ["registry.db", "registry.db-wal"]) {
      expect(await readFile(join(gateway.dataDir, part), "latin1")).not.toContain("SECRET");
    }
    expect(gateway.logs.join("\n")).not.toContain("SECRET");
  });

  it("a new URL with a password replaces the credentials; one without keeps them", async () => {
    const made = await gateway.rest("POST", "/gateways", { name: "moving", url: echo.url });
    const withName = echo.url.replace("://", "://a:b@");
    await gateway.rest("PATCH", `/gateways/${made.body.id}`, { url: withName });
    const moved = await gateway.core.registry.upstream(made.body.id);
    expect(moved.definition.url).toBe(echo.url);
    expect(moved.credentials.headers["authorization"]).toMatch(/^Basic /);
    await gateway.rest("PATCH", `/gateways/${made.body.id}`, { url: echo.url });
    const kept = await gateway.core.registry.upstream(made.body.id);
    expect(kept.credentials).toEqual(moved.credentials);
  });

  it("the registry and the secret are for their owner alone, also when they were not", async () => {
    const own = await startTestGateway({ mcpServers: { x: { command: "node", args: ["-e", "1"] } } });
    for (const part of ["registry.db", "registry.db-wal", "registry.db-shm", "secret"]) {
      expect(await modeOf(join(own.dataDir, part)), part).toBe(0o600);
    }
    await own.close();
    await chmod(join(own.dataDir, "registry.db"), 0o644);
    await chmod(join(own.dataDir, "secret"), 0o644);
    await using again = await startTestGateway(
      { mcpServers: { x: { command: "node", args: ["-e", "1"] } } },
      { dataDir: own.dataDir },
    );
    for (const part of ["registry.db", "registry.db-wal", "secret"]) {
      expect(await modeOf(join(again.dataDir, part)), part).toBe(0o600);
    }
    // What is sealed reads back as the configuration says it, so nothing is written again.
    expect(await again.core.registry.upstream(await again.idOf("x"))).toMatchObject({ revision: 1 });
  });

  it("a configured upstream sealed under a lost secret is sealed anew from the configuration", async () => {
    const config = { mcpServers: { x: { command: "node", args: ["-e", "1"] } } };
    const own = await startTestGateway(config);
    await own.close();
    await writeFile(join(own.dataDir, "secret"), "n".repeat(40));
    expect(() => loadSecret(own.dataDir, {})).not.toThrow();
    await using again = await startTestGateway(config, { dataDir: own.dataDir });
    expect((await again.core.registry.upstream(await again.idOf("x"))).definition.args).toEqual(["-e", "1"]);
  });
});
