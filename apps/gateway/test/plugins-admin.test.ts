import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const path = "/admin/plugins/rate_limiter/mode";
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startTestGateway();
});

afterAll(() => gateway[Symbol.asyncDispose]());

describe("/admin/plugins", () => {
  it("an unknown plugin is 404 with the known names and the nearest one", async () => {
    const { status, body } = await gateway.rest("PUT", "/admin/plugins/rate_limitr/mode", {
      mode: "disabled",
    });
    expect(status).toBe(404);
    expect(body.error).toMatchObject({
      code: "not_found",
      details: { known: expect.arrayContaining(["rate_limiter", "retry"]), nearest: "rate_limiter" },
    });
  });

  it("a bad mode is 422 with a suggestion, and so is a key that does not exist", async () => {
    const bad = await gateway.rest("PUT", path, { mode: "enforced" });
    expect(bad.status).toBe(422);
    expect(bad.body.error.message).toContain('did you mean "enforce"?');
    expect((await gateway.rest("PUT", path, { mode: "enforce", wait: "all" })).status).toBe(422);
    expect((await gateway.rest("PUT", path, {})).status).toBe(422);
  });

  it("a text with a lone surrogate is 422, wherever it would become part of a key; in a URL it is no text at all", async () => {
    for (const [method, body] of [
      ["PUT", { mode: "disabled", tenant: "\ud800" }],
      ["DELETE", { tenant: "a\udc00" }],
    ] as const) {
      const { status, body: answer } = await gateway.rest(method, path, body);
      expect(status).toBe(422);
      expect(answer.error.message).toContain("body.tenant: has to be well-formed Unicode");
    }
    const named = await gateway.rest("PUT", "/admin/plugins/%ED%A0%80/mode", { mode: "enforce" });
    expect([400, 404]).toContain(named.status);
    expect((await gateway.rest("GET", `${path}?tenant=%ED%A0%80`)).status).toBeLessThan(500);
    expect((await gateway.rest("GET", path)).body).toMatchObject({
      mode: "enforce",
      layers: { file: "enforce" },
    });
  });

  it("a switch answers with the report, DELETE returns to the file, and the layer is named", async () => {
    const set = await gateway.rest("PUT", path, { mode: "disabled", waitFor: "quorum", timeoutMs: 1_000 });
    expect(set.body).toMatchObject({
      mode: "disabled",
      previousMode: "enforce",
      converged: true,
      wipe: true,
    });
    expect((await gateway.rest("GET", path)).body).toMatchObject({
      mode: "disabled",
      layer: "global_override",
    });
    const cleared = await gateway.rest("DELETE", path);
    expect(cleared.body).toMatchObject({ mode: "enforce", rev: set.body.rev + 1, converged: true });
    const { body } = await gateway.rest("GET", path);
    expect(body).toMatchObject({
      layer: "file",
      layers: { file: "enforce" },
      replicas: [{ mode: "enforce" }],
    });
  });

  it("a tenant's override decides for that tenant alone, and ends after its ttlMs", async () => {
    await gateway.rest("PUT", path, { mode: "permissive", tenant: "acme", ttlMs: 60_000 });
    expect((await gateway.rest("GET", `${path}?tenant=acme`)).body).toMatchObject({
      mode: "permissive",
      layer: "tenant_override",
      layers: { tenant_override: { setBy: "tester" } },
    });
    expect((await gateway.rest("GET", `${path}?tenant=other`)).body.mode).toBe("enforce");
    await gateway.rest("DELETE", path, { tenant: "acme" });
    expect((await gateway.rest("GET", `${path}?tenant=acme`)).body.mode).toBe("enforce");
  });

  it("a switch can be followed as an event stream", async () => {
    const response = await fetch(`${gateway.url}${path}`, {
      method: "PUT",
      headers: {
        authorization: `Bearer ${gateway.token}`,
        accept: "text/event-stream",
        "content-type": "application/json",
      },
      body: JSON.stringify({ mode: "permissive" }),
    });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const events = (await response.text()).trim().split("\n\n");
    expect(events).toHaveLength(2);
    expect(events[0]).toMatch(/^event: ack\ndata: \{"replica":"[^"]+","rev":\d+,"ms":[\d.]+\}$/);
    expect(JSON.parse(events[1]?.split("data: ")[1] ?? "")).toMatchObject({
      mode: "permissive",
      converged: true,
    });
  });

  it("needs the scope admin", async () => {
    const token = await gateway.mint({ scopes: ["mcp"] });
    expect((await gateway.rest("PUT", path, { mode: "disabled" }, token)).status).toBe(403);
    expect((await gateway.rest("GET", "/admin/audit", undefined, token)).status).toBe(403);
  });
});

describe("overrides and the audit", () => {
  it("outlive a restart without Redis, and a later switch goes on counting revisions", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "gatewright-overrides-"));
    try {
      let rev: number;
      {
        await using before = await startTestGateway({}, { dataDir });
        rev = (await before.rest("PUT", path, { mode: "disabled" })).body.rev;
      }
      await using after = await startTestGateway({}, { dataDir });
      expect((await after.rest("GET", path)).body).toMatchObject({
        mode: "disabled",
        layer: "global_override",
        rev,
      });
      expect((await after.rest("DELETE", path)).body).toMatchObject({ rev: rev + 1, mode: "enforce" });
      const { body, headers } = await after.rest("GET", "/admin/audit?limit=1");
      expect(body.items).toEqual([
        {
          plugin: "rate_limiter",
          scope: "rate_limiter",
          previous: "disabled",
          next: "enforce",
          rev: rev + 1,
          setBy: "tester",
          at: expect.any(Number),
        },
      ]);
      expect([body.total, headers.get("x-total-count")]).toEqual([2, "2"]);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });

  it("the audit keeps the last 1 000 changes, each once however many replicas tell of it", async () => {
    await using own = await startTestGateway();
    const { plugins } = own.core.registry;
    const event = (rev: number) =>
      ({
        plugin: "p",
        scope: "p",
        previous: "enforce",
        next: "disabled",
        rev,
        setBy: "x",
        at: 1_000 + Math.floor(rev / 7),
      }) as const;
    for (let rev = 1; rev <= 1_010; rev++) await plugins.addEvent(event(rev), `${rev}`);
    await plugins.addEvent(event(1_010), "1010");
    const page = await plugins.events({ limit: 1_000, offset: 0 });
    expect(page.total).toBe(1_000);
    expect(page.items[0]).toEqual(event(1_010));
  });

  it("an older record never replaces a newer one", async () => {
    await using own = await startTestGateway();
    const { plugins } = own.core.registry;
    const record = (rev: number, mode: "enforce" | "disabled") => ({
      scope: { plugin: "p", tenant: "a:b" },
      record: { mode, rev, uuid: `u${rev}`, wipeSeq: 0, setBy: "x" },
    });
    await plugins.saveOverride(record(5, "disabled"));
    await plugins.saveOverride(record(4, "enforce"));
    expect(await plugins.overrides()).toEqual([record(5, "disabled")]);
  });
});
