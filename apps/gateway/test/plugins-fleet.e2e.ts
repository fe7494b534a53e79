import { startRawServer } from "@gatewright/mcp-fixtures";
import { eventually, type Gateway, startGateway, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { callTool, modeAt, putMode } from "./support/plugin-calls.ts";

type Redis = Awaited<ReturnType<typeof startRedis>>;

let redis: Redis;
let upstream: Awaited<ReturnType<typeof startRawServer>>;
let fleet: Gateway[];

const limiter = (config: object, mode = "enforce") => [{ name: "rate_limiter", mode, config }];
const launch = (plugins: unknown, env: Record<string, string> = {}) =>
  startGateway({
    env: { REDIS_URL: redis.url, LOG_LEVEL: "info", ...env },
    config: { mcpServers: { raw: { url: upstream.url } }, plugins },
    readyTimeoutMs: 60_000,
  });
const at = (index: number) => fleet[index % fleet.length] as Gateway;

beforeAll(async () => {
  [redis, upstream] = await Promise.all([startRedis({ persist: true }), startRawServer()]);
  const plugins = limiter({ rules: { by_user: "30/m" } });
  fleet = await Promise.all([1, 2, 3].map(() => launch(plugins)));
}, 120_000);

afterAll(async () => {
  await Promise.all(fleet.map((gateway) => gateway.close()));
  await Promise.all([redis.close(), upstream.close()]);
});

describe("three gateways over one Redis", () => {
  it("RL-5 share the limit: 60 calls over 30/m, exactly 30 admitted", async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => callTool(at(index).url, index)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(30);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(30);
  });

  it("RL-1 a refusal is HTTP 429 with the id echoed, the rule, the wait and the limiter's headers", async () => {
    const { status, headers, body } = await callTool(at(0).url, "the id");
    expect(status).toBe(429);
    expect(body).toMatchObject({
      jsonrpc: "2.0",
      id: "the id",
      error: { code: -31001, data: { code: "rate_limited", rule: "by_user", retryable: true } },
    });
    expect(body.error.data.retryAfterMs).toBeGreaterThan(0);
    const retryAfter = Number(headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(headers.get("x-ratelimit-limit")).toBe("30");
    expect(headers.get("x-ratelimit-remaining")).toBe("0");
    expect(headers.get("ratelimit-policy")).toBe('"by_user";q=30;w=60');
    expect(headers.get("ratelimit")).toMatch(/^"by_user";r=0;t=\d+$/);
  });

  it("PF-1 a switch off converges on all replicas, and every call after it is allowed", async () => {
    const { status, body } = await putMode(at(1).url, { mode: "disabled", waitFor: "all" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      converged: true,
      guarantee: "fenced",
      previousMode: "enforce",
      missing: [],
    });
    expect(body.acked).toHaveLength(3);
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => callTool(at(index).url, index)),
    );
    expect(answers.every((answer) => answer.status === 200)).toBe(true);
    expect(answers.every((answer) => answer.headers.get("x-ratelimit-limit") === null)).toBe(true);
  });

  it("PF-14 headers of an allowing limiter reach the HTTP response, and count down over all replicas", async () => {
    expect((await putMode(at(2).url, { mode: "enforce" })).body.converged).toBe(true);
    const remaining: (string | null)[] = [];
    for (let index = 0; index < 6; index++) {
      const answer = await callTool(at(index).url, index);
      expect(answer.status).toBe(200);
      remaining.push(answer.headers.get("x-ratelimit-remaining"));
      expect(answer.headers.get("ratelimit-policy")).toBe('"by_user";q=30;w=60');
      expect(answer.headers.get("ratelimit")).toMatch(new RegExp(`^"by_user";r=${29 - index};t=\\d+$`));
    }
    expect(remaining).toEqual(["29", "28", "27", "26", "25", "24"]);
  });

  it("permissive goes on counting and refuses nothing", async () => {
    expect((await putMode(at(0).url, { mode: "permissive" })).body.converged).toBe(true);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => callTool(at(index).url, index)),
    );
    expect(answers.every((answer) => answer.status === 200)).toBe(true);
    expect((await putMode(at(0).url, { mode: "enforce" })).body.converged).toBe(true);
    expect((await callTool(at(1).url, 1)).status).toBe(429);
  });

  it("RL-9 with wipe never a re-enabled limiter refuses at once, and counters outlive a replica's restart", async () => {
    expect((await putMode(at(0).url, { mode: "disabled", wipe: "never" })).body.wipe).toBe(false);
    expect((await callTool(at(2).url, 1)).status).toBe(200);
    await putMode(at(0).url, { mode: "enforce", wipe: "never" });
    const refused = await callTool(at(2).url, 1);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    await at(1).restart();
    expect((await callTool(at(1).url, 1)).status).toBe(429);
    // The one that was restarted and stopped in good order is a member once.
    expect((await putMode(at(0).url, { mode: "enforce" })).body.acked).toHaveLength(3);
  }, 60_000);

  it("PF-I3 frames that are forged, old or no frames at all change no mode and no revision", async () => {
    const before = await modeAt(at(1).url);
    const client = redis.client();
    for (const frame of [
      { scope: "rate_limiter", rev: 1 },
      { scope: "rate_limiter", rev: 9_999 },
      { scope: "x" },
    ]) {
      expect(await client.publish("gw:bus", JSON.stringify(frame))).toBe(3);
    }
    await client.publish("gw:bus", "not JSON");
    client.disconnect();
    // A real switch behind them has been followed by all: the frames before it have been looked at.
    const { body } = await putMode(at(0).url, { mode: before.mode });
    expect(body).toMatchObject({ converged: true, rev: before.rev + 1 });
    for (const { url } of fleet)
      expect(await modeAt(url)).toMatchObject({ mode: before.mode, rev: body.rev });
  });

  it("GET /admin/plugins shows mode, layer and revision of every replica", async () => {
    const { body: report } = await putMode(at(0).url, { mode: "disabled" });
    const plugin = await eventually(async () => {
      const { items } = (await (await fetch(`${at(1).url}/admin/plugins`)).json()) as {
        items: { plugin: string; replicas: { mode: string; layer: string; rev: number }[] }[];
      };
      const found = items.find((item) => item.plugin === "rate_limiter");
      if (found === undefined) return false;
      return found.replicas.every((each) => each.rev === report.rev) && found;
    });
    const follows = { mode: "disabled", layer: "global_override", rev: report.rev };
    expect(plugin.replicas).toMatchObject([follows, follows, follows]);
  });

  it("the command line shows the acknowledgements as they arrive, then the report", async () => {
    const out: string[] = [];
    const err: string[] = [];
    const code = await runCli(
      [
        "plugins",
        "mode",
        "rate_limiter",
        "enforce",
        "--wait",
        "all",
        "--url",
        at(0).url,
        "--token",
        at(0).token,
      ],
      {
        env: {},
        out: (line) => out.push(line),
        err: (line) => err.push(line),
        stopped: () => Promise.resolve(),
      },
    );
    expect(code).toBe(0);
    expect(err.filter((line) => /^ack +\d+ +[\d.]+ ms {2}\S+$/.test(line))).toHaveLength(3);
    expect(JSON.parse(out.join("\n"))).toMatchObject({ converged: true, mode: "enforce" });
  });

  it("PF-8 an override outlives a restart of every replica and of an emptied Redis", async () => {
    const before = (await putMode(at(0).url, { mode: "disabled" })).body;
    const client = redis.client();
    await client.flushall();
    client.disconnect();
    await redis.stop();
    await Promise.all(fleet.map((gateway) => gateway.stop()));
    await redis.restart();
    await Promise.all(fleet.map((gateway) => gateway.restart()));
    for (const gateway of fleet) {
      const mode = await eventually(async () => {
        const found = await modeAt(gateway.url);
        return found.layer === "global_override" && found;
      });
      expect(mode).toMatchObject({ mode: "disabled" });
      expect(mode.rev).toBeGreaterThanOrEqual(before.rev);
    }
  }, 90_000);

  it("every change is in the audit, and the newest comes first", async () => {
    const { body: report } = await putMode(at(0).url, { mode: "enforce" });
    const answer = await fetch(`${at(0).url}/admin/audit?limit=5`);
    const { items, total } = (await answer.json()) as { items: object[]; total: number };
    expect(items[0]).toMatchObject({
      plugin: "rate_limiter",
      scope: "rate_limiter",
      previous: "disabled",
      next: "enforce",
      rev: report.rev,
      setBy: "local",
    });
    expect(total).toBeGreaterThan(5);
    expect(items).toHaveLength(5);
  });

  it("PF-5 a killed replica is missing in the report, and forgotten with its heartbeat", async () => {
    await at(2).kill();
    const { body: first } = await putMode(at(0).url, { mode: "permissive", timeoutMs: 500 });
    expect(first).toMatchObject({ converged: false });
    expect(first.missing).toHaveLength(1);
    expect((await modeAt(at(1).url)).mode).toBe("permissive");
    // As if six seconds had passed since its last beat.
    await redis.client().zincrby("gw:{bus}:members", -6_000, first.missing[0]);
    const second = await eventually(
      async () => {
        const { body } = await putMode(at(0).url, { mode: "permissive", timeoutMs: 500 });
        return body.converged && body;
      },
      { timeoutMs: 30_000 },
    );
    expect(second.acked).toHaveLength(2);
  }, 60_000);
});
