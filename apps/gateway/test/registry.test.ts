import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { slugOf } from "../src/registry/slug.ts";
import { describeSqliteFault } from "../src/registry/sqlite-fault.ts";
import { ulid } from "../src/registry/ulid.ts";
import { openAt, upstreamInput } from "./support/registries.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-registry-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the registry in a SQLite file", () => {
  it("seals credentials", async () => {
    const path = join(folder, "deep", "registry.db");
    const registry = await openAt(`sqlite:${path}`);
    await registry.createUpstream(upstreamInput("One"));
    await registry.close();
    expect(await readFile(path, "latin1")).not.toContain("planted-secret");
  });

  it("a writer that is not let in within the busy timeout is told so, and writes later", async () => {
    const path = join(folder, "busy.db");
    const registry = await openAt(`sqlite:${path}`, { busyTimeoutMs: 50 });
    const other = new DatabaseSync(path);
    other.exec("begin immediate");
    const refusal = { code: "db_timeout", retryable: true, facts: { retryAfterMs: 1_000 } };
    await expect(registry.createUpstream(upstreamInput("x"))).rejects.toMatchObject(refusal);
    expect(await registry.health()).toEqual({ status: "ok" });
    other.exec("rollback");
    other.close();
    expect((await registry.createUpstream(upstreamInput("x"))).name).toBe("x");
    await registry.close();
  });

  it("takes over a file of before there was a migrator", async () => {
    const path = join(folder, "old.db");
    await (await openAt(`sqlite:${path}`)).close();
    const old = new DatabaseSync(path);
    old.exec("drop table kysely_migration; drop table kysely_migration_lock; drop table idempotency_keys");
    old.exec("drop table registry_version; alter table running_gateways drop column seen_at");
    old.close();
    const registry = await openAt(`sqlite:${path}`);
    expect((await registry.createUpstream(upstreamInput("x"))).name).toBe("x");
    await registry.close();
  });

  it("has no other copy to choose from", async () => {
    const registry = await openAt(`sqlite:${join(folder, "single.db")}`);
    await expect(registry.acceptServer()).rejects.toMatchObject({ code: "conflict" });
    await registry.close();
  });

  it("tells faults of the file by their code", () => {
    const fault = (errcode: number, message = "m") =>
      describeSqliteFault(Object.assign(new Error(message), { errcode }));
    expect(fault(5)).toMatchObject({ code: "db_timeout" });
    expect(fault(261)).toMatchObject({ code: "db_timeout" });
    expect(fault(13)).toMatchObject({ code: "db_unavailable" });
    expect(fault(778)).toMatchObject({ code: "db_unavailable" });
    expect(fault(2067, "UNIQUE constraint failed: upstreams.slug")).toMatchObject({
      code: "conflict",
      facts: { details: { constraint: "upstreams.slug" } },
    });
    expect(fault(1)).toBeInstanceOf(Error);
    expect(describeSqliteFault(undefined)).toBeUndefined();
  });
});

it("makes slugs that are free, and ids that sort by time", () => {
  expect(slugOf("Ünï Server!", () => false)).toBe(`${slugOf("Ünï", () => false)}-server`);
  expect(slugOf("???", () => false)).toBe("upstream");
  const taken = new Set(["a", "a-2"]);
  expect(slugOf("A", (slug) => taken.has(slug))).toBe("a-3");
  expect(ulid(1) < ulid(2)).toBe(true);
  expect(ulid()).toHaveLength(26);
  // In one millisecond, too; enough of them that the last digit overflows.
  const many = Array.from({ length: 1_000 }, () => ulid(3));
  expect(many.toSorted()).toEqual(many);
  expect(new Set(many).size).toBe(many.length);
});
