import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let redis: RedisServer;
let first: TestGateway;
let second: TestGateway;

beforeAll(async () => {
  redis = await startRedis();
  const config = { auth: { required: false }, redis: { url: redis.url } };
  [first, second] = await Promise.all([startTestGateway(config), startTestGateway(config)]);
  await eventually(() => [first, second].every(({ core }) => core.control.board.count === 2));
});

afterAll(async () => {
  await second?.[Symbol.asyncDispose]();
  await first?.[Symbol.asyncDispose]();
  await redis.close();
});

/** Runs a command against the first gateway. */
async function command(...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(["plugins", ...args], {
    env: { GATEWRIGHT_URL: first.url, GATEWRIGHT_TOKEN: "none needed" },
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    stopped: () => Promise.resolve(),
  });
  return { code, out, err };
}

describe("two replicas", () => {
  it("`plugins list` shows every plugin, and below it what each replica follows", async () => {
    const { code, out } = await command("list");
    expect(code).toBe(0);
    const at = out.findIndex((line) => line.startsWith("rate_limiter"));
    expect(out[at]).toMatch(/^rate_limiter +enforce +file +rev 0 {2}priority 50$/);
    expect(out.slice(at + 1, at + 3)).toEqual([
      expect.stringMatching(/^ {2}enforce +rev 0 {2}\S+$/),
      expect.stringMatching(/^ {2}enforce +rev 0 {2}\S+$/),
    ]);
  });

  it("`plugins mode` switches one tenant for a while and takes it back; acknowledgements come first", async () => {
    const set = await command("mode", "rate_limiter", "permissive", "--tenant", "acme", "--ttl-ms", "60000");
    expect(set.code).toBe(0);
    expect(set.err).toHaveLength(2);
    expect(JSON.parse(set.out.join(""))).toMatchObject({ mode: "permissive", converged: true });
    const asked = await command("mode", "rate_limiter", "--tenant", "acme");
    expect(JSON.parse(asked.out.join(""))).toMatchObject({ mode: "permissive", layer: "tenant_override" });
    const wiped = await command("mode", "rate_limiter", "inherit", "--tenant", "acme", "--wipe", "always");
    expect(JSON.parse(wiped.out.join(""))).toMatchObject({ mode: "enforce", wipe: true });
  });

  it("a refused switch is said in a sentence", async () => {
    const refused = await command("mode", "rate_limiter", "disabled", "--ttl-ms", String(8.7e15));
    expect(refused.code).toBe(2);
    expect(refused.err.join()).toContain("ttlMs");
    expect((await command("mode", "rate_limiter", "disabled", "--ttl-ms", "soon")).code).toBe(2);
    expect((await command("mode", "rate_limitr", "disabled")).err.join()).toContain("known: rate_limiter");
  });

  it("a replica that leaves is no longer shown, and one that says nothing is shown without a mode", async () => {
    await redis.client().set("gw:{bus}:note:garbled", "not JSON");
    await redis.client().zadd("gw:{bus}:members", Date.now(), "garbled", Date.now(), "silent");
    const { body } = await first.rest("GET", "/admin/plugins/rate_limiter/mode");
    expect(body.replicas).toHaveLength(4);
    expect(body.replicas).toEqual(expect.arrayContaining([{ replica: "garbled" }, { replica: "silent" }]));
    await redis.client().zrem("gw:{bus}:members", "garbled", "silent");
    await second[Symbol.asyncDispose]();
    const left = (await first.rest("GET", "/admin/plugins/rate_limiter/mode")).body.replicas;
    expect(left).toEqual([expect.objectContaining({ mode: "enforce", layer: "file" })]);
    expect(await redis.client().keys("gw:{bus}:note:*")).toHaveLength(2);
  });

  it("with Redis away a gateway shows itself", async () => {
    await redis.stop();
    const { body } = await first.rest("GET", "/admin/plugins/rate_limiter/mode");
    expect(body.replicas).toHaveLength(1);
  });
});
