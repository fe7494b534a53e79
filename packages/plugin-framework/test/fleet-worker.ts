/** One replica of a test fleet: a real process with a pipeline over real Redis, driven by messages. */

import { Redis } from "ioredis";
import { createPluginPipeline, type Mode, type SetModeOptions } from "../src/index.ts";
import { createRedisBus } from "../src/redis/index.ts";
import { quotaPlugin } from "./fenced-plugin.ts";

/** What a worker is started with. */
export interface WorkerOptions {
  readonly replica: string;
  readonly port: number;
  readonly fileMode: Mode;
  readonly limit: number;
}

/** One decision; `at` is the system's monotonic clock in ms, comparable between processes. */
export interface Decision {
  readonly at: number;
  readonly allowed: boolean;
  readonly shadow: number;
  readonly status: string;
  readonly mode: string;
  readonly degraded: boolean;
}

const options = JSON.parse(process.argv[2] ?? "{}") as WorkerOptions;
const quiet = (client: Redis) => client.on("error", () => undefined);
const connection = { host: "127.0.0.1", port: options.port, maxRetriesPerRequest: 1 };
const client = quiet(new Redis({ ...connection, commandTimeout: 1_000 }));
const subscriber = quiet(new Redis({ ...connection, maxRetriesPerRequest: null }));
const bus = createRedisBus({ client, subscriber });
let suppressed = false;
let shadows = 0;
const pipeline = await createPluginPipeline(
  { plugins: [{ use: quotaPlugin(client, options.limit), mode: options.fileMode }] },
  {
    replica: options.replica,
    bus: { ...bus, publish: async (frame) => (suppressed ? undefined : bus.publish(frame)) },
    observer: { shadowBlock: () => void shadows++ },
  },
);

const monotonic = () => Number(process.hrtime.bigint()) / 1e6;

async function call(user: string): Promise<Decision> {
  const at = monotonic();
  const scope = pipeline.begin({ requestId: "r", user });
  const result = await scope.invoke("tool_pre_invoke", { name: "echo", args: {}, headers: {} });
  scope.end();
  const [record] = result.records;
  const { status = "none", mode = "none", degraded = false } = record ?? {};
  return { at, allowed: result.allowed, shadow: result.shadowViolations.length, status, mode, degraded };
}

let traffic: { stop: boolean; done: Promise<Decision[]> } | undefined;

function drive(user: string, everyMs: number) {
  const state = { stop: false, done: Promise.resolve<Decision[]>([]) };
  const loop = async () => {
    const seen: Decision[] = [];
    while (!state.stop) {
      seen.push(await call(user));
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    return seen;
  };
  state.done = loop();
  traffic = state;
}

const commands: Record<string, (argument: never) => unknown> = {
  call: ({ user }: { user: string }) => call(user),
  start: ({ user, everyMs }: { user: string; everyMs: number }) => drive(user, everyMs),
  stop: async () => {
    if (traffic === undefined) return [];
    traffic.stop = true;
    return traffic.done;
  },
  set: async ({ mode, set }: { mode: Mode; set: SetModeOptions }) => {
    const report = await pipeline.setMode("quota", mode, set);
    return { report, returnedAt: monotonic(), wallToMonotonic: monotonic() - Date.now() };
  },
  explain: () => pipeline.explainMode("quota"),
  suppress: ({ on }: { on: boolean }) => {
    suppressed = on;
  },
  shadows: () => shadows,
  close: async () => {
    await pipeline.close();
    process.disconnect();
    client.disconnect();
    subscriber.disconnect();
  },
};

process.on("message", (message: { id: number; command: string; argument: never }) => {
  void Promise.resolve()
    .then(() => commands[message.command]?.(message.argument))
    .then(
      (value) => process.send?.({ id: message.id, value }),
      (error: unknown) => process.send?.({ id: message.id, error: String(error) }),
    );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });
