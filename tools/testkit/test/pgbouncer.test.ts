import { describe, expect, it } from "vitest";
import { startPgBouncer, startPostgres } from "../src/index.ts";

describe("startPgBouncer", () => {
  it("shares few server connections among many clients, one transaction at a time", async () => {
    await using postgres = await startPostgres();
    await using bouncer = await startPgBouncer(postgres, { poolSize: 2 });
    const clients = await Promise.all(
      Array.from({ length: 6 }, () => postgres.client({ port: bouncer.port })),
    );
    const pids = await Promise.all(
      clients.map(
        async (client) =>
          (await client.query("select pg_backend_pid() as pid from pg_sleep(0.02)")).rows[0].pid,
      ),
    );
    expect(new Set(pids).size).toBeLessThanOrEqual(2);
    expect(bouncer.logs()).toContain("process up");
  });
});
