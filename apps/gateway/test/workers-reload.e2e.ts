import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { send } from "@gatewright/resilience";
import {
  eventually,
  type Gateway,
  type PostgresServer,
  startGateway,
  startPostgres,
} from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";

const workers = 2;
let folder: string;
let file: string;
let postgres: PostgresServer;
let gateway: Gateway;

const write = (config: object) =>
  writeFile(file, JSON.stringify({ server: { drainNoticeMs: 0 }, ...config }));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-workers-reload-"));
  file = join(folder, "gateway.json");
  await write({});
  postgres = await startPostgres();
  gateway = await startGateway({
    env: { DATABASE_URL: postgres.url, WORKERS: String(workers), GATEWRIGHT_CONFIG: file, LOG_LEVEL: "info" },
    readyTimeoutMs: 120_000,
  });
}, 150_000);
afterAll(async () => {
  await gateway.close();
  await postgres.close();
  await rm(folder, { recursive: true, force: true });
});

// Each connection is some worker's; each worker says itself what it follows.
const seen = async () => {
  const answers = await Promise.all(
    Array.from({ length: 4 * workers }, () => send(`${gateway.url}/admin/config`)),
  );
  return answers.map(({ body }) => body);
};
const namesOf = async () =>
  (await send(`${gateway.url}/gateways`)).body.items.map(({ name }: { name: string }) => name);
const patience = { timeoutMs: 30_000 };

it("every worker follows a file that changes, and SIGHUP that the first process is sent", async () => {
  await write({ limits: { streams: 7 }, mcpServers: { one: { url: "http://127.0.0.1:1/mcp" } } });
  await eventually(async () => (await seen()).every(({ config }) => config.limits.streams === 7), patience);
  await eventually(async () => (await namesOf()).join() === "one", patience);
  await write({ limits: { streams: 8 } });
  process.kill(gateway.pid, "SIGHUP");
  await eventually(async () => (await seen()).every(({ config }) => config.limits.streams === 8), patience);
  await eventually(async () => (await namesOf()).length === 0, patience);
  await write({ limts: {} });
  await eventually(async () => (await seen()).every(({ refused }) => refused !== undefined), patience);
  expect(await namesOf()).toEqual([]);
}, 120_000);
