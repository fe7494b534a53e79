/** The figures of the cases CL-03, CL-04 and CP-01, of which the tests take five times. */
import { eventually, startPostgres } from "@gatewright/testkit";
import { createResilientDatabase } from "../src/index.ts";
import { createFaultProxy } from "../src/testing/index.ts";

const applicationName = "deadlines";

/** How long a call takes that fails, or does not. */
async function elapsed(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call().catch(() => {});
  return performance.now() - start;
}

/** The largest distance of these times from when they were due. */
function worst(times: readonly number[], dueMs: number): number {
  return Math.max(...times.map((ms) => Math.abs(ms - dueMs)));
}

/** Measures and prints how exactly deadlines are kept, and how soon a pool is full again. */
export async function deadlines(): Promise<void> {
  await using server = await startPostgres();
  await using proxy = await createFaultProxy({ upstream: server });
  const access = {
    hosts: [{ host: proxy.host, port: proxy.port }],
    database: "postgres",
    user: server.user,
    password: server.password,
    applicationName,
  };

  {
    await using database = createResilientDatabase({ ...access, pool: { min: 3 } });
    const ours = `from pg_stat_activity where application_name = '${applicationName}'`;
    const pids = async () =>
      (await server.query<{ pid: number }>(`select pid ${ours}`)).map(({ pid }) => pid);
    await database.query("select 1");
    await eventually(async () => (await pids()).length >= 3);
    const before = await pids();
    const full = async () => (await pids()).filter((pid) => !before.includes(pid)).length >= 3;
    const ms = await elapsed(async () => {
      await server.query(`select pg_terminate_backend(pid) ${ours}`);
      await eventually(full, { intervalMs: 5 });
    });
    console.log(`CL-03 pool full again after its sessions were ended: ${ms.toFixed(0)} ms (bar: 2 000)`);
  }

  {
    const timeouts = { statementMs: 1_750, statementGraceMs: 250 };
    const pool = { size: 3, overflow: 0, min: 3, validateIdleAfterMs: 60_000 };
    await using database = createResilientDatabase({ ...access, timeouts, pool });
    const read = () => database.query("select 1");
    await read();
    // Each has a connection: one that had to be opened first would wait for that instead.
    await eventually(() => database.stats().hosts[0]?.idle === 3);
    proxy.set({ down: { latencyMs: 10_000 } });
    const off = worst(await Promise.all([elapsed(read), elapsed(read), elapsed(read)]), 2_000);
    proxy.heal();
    console.log(
      `CL-04 statements at their deadline of 2 s: ${(off / 20).toFixed(1)} % off at most (bar: 10)`,
    );
  }

  await using database = createResilientDatabase(access);
  await database.query("select 1");
  const outcomes = await Promise.all(
    Array.from({ length: 200 }, () => elapsed(() => database.query("select pg_sleep(4)"))),
  );
  const refused = outcomes.filter((ms) => ms < 3_900);
  const off = worst(refused, 3_000);
  console.log(`CP-01 ${refused.length} of 200 refused at 3 s: ${off.toFixed(0)} ms off at most (bar: 100)`);
}
