import { parseArgs } from "node:util";
import { startCounterServer } from "./counter-server.ts";
import { startCrashServer } from "./crash-server.ts";
import { startEchoServer } from "./echo-server.ts";
import { startEverythingServer } from "./everything/everything-server.ts";
import type { Era, Fixture } from "./fixture.ts";
import { startFlakyServer } from "./flaky-server.ts";
import { startLegacySdkServer } from "./legacy-sdk-server.ts";
import { startRawServer } from "./raw-server.ts";
import { startSlowServer } from "./slow-server.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "0" },
    host: { type: "string", default: "127.0.0.1" },
    era: { type: "string" },
    answer: { type: "string" },
    "result-bytes": { type: "string" },
    "delay-ms": { type: "string" },
    share: { type: "string" },
    seed: { type: "string" },
  },
});

const common = {
  port: Number(values.port),
  host: values.host,
  ...(values.era === undefined ? {} : { era: values.era as Era }),
};
const number = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);

const starters: Readonly<Record<string, () => Promise<Fixture>>> = {
  counter: () => startCounterServer(common),
  crash: () => startCrashServer({ ...common, exit: true }),
  echo: () => startEchoServer(common),
  everything: () => startEverythingServer(common),
  flaky: () =>
    startFlakyServer({ ...common, share: number(values.share) ?? 0.1, seed: number(values.seed) ?? 1 }),
  "legacy-sdk": () => startLegacySdkServer({ ...common, jsonResponses: values.answer === "json" }),
  raw: () =>
    startRawServer({
      ...common,
      answer: values.answer === "sse" ? "sse" : "json",
      resultBytes: number(values["result-bytes"]) ?? 51_200,
      delayMs: number(values["delay-ms"]) ?? 0,
    }),
  slow: () => startSlowServer(common),
};

const start = starters[positionals[0] ?? ""];
if (start === undefined) {
  process.stderr.write(
    `usage: main.ts ${Object.keys(starters).join("|")} [--port N] [--era dual|legacy|modern]\n`,
  );
  process.exit(2);
}

const fixture = await start();
process.stdout.write(`${fixture.url}\n`);

const stop = (): void => {
  void fixture.close().then(() => process.exit(0));
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

// A fixture whose starter died must not stay behind.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 500).unref();
