import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startFixtureProcess } from "@gatewright/mcp-fixtures";
import { type GatewayProcess, startGatewayProcess } from "./gateway-process.ts";
import { createLatencyHistogram, type Percentiles } from "./latency-histogram.ts";
import { openListeners, statelessRequest } from "./listener-load.ts";
import { runOpenLoop } from "./open-loop.ts";
import { choosePinning } from "./pinning.ts";
import type { Check, Scale } from "./plan.ts";
import { processUsage } from "./process-usage.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { createRecorder } from "./recorder.ts";
import { checkTable, describeMachine, type Verdict } from "./report.ts";
import { constant, createSchedule } from "./schedule.ts";
import { openSockets } from "./socket-load.ts";
import { spawnProcess } from "./spawned.ts";
import { textTable } from "./text-table.ts";
import { createTokenSigner } from "./token.ts";

/** The profiles of streams: WebSockets that call, listeners that are told of changes. */
export const STREAM_PROFILES = ["ws", "sse"] as const;
export type StreamProfile = (typeof STREAM_PROFILES)[number];

const SIZES = {
  smoke: { ws: { streams: 20, seconds: 2 }, sse: { streams: 20, seconds: 3 } },
  ci: { ws: { streams: 500, seconds: 120 }, sse: { streams: 1_000, seconds: 120 } },
  full: { ws: { streams: 500, seconds: 3_600 }, sse: { streams: 1_000, seconds: 3_600 } },
} as const satisfies Readonly<Record<Scale, Readonly<Record<StreamProfile, object>>>>;

const USERS = 10;
/** A run whose generator was later than this at p99 says something of its own machine. */
const VOID_LAG_MS = 1;

interface Measured {
  readonly latency: Percentiles;
  /** How late the generator was, where it has a schedule. */
  readonly lag: Percentiles | undefined;
  /** The same work in bare node:http, where that was done. */
  readonly bare?: Percentiles;
  readonly checks: readonly Check[];
}

interface Run {
  readonly gateway: GatewayProcess;
  readonly upstream: Awaited<ReturnType<typeof startFixtureProcess>>;
  /** Streams in bare node:http. */
  readonly bareUrl: string | undefined;
  readonly tokens: readonly string[];
  readonly streams: number;
  readonly seconds: number;
  readonly onProgress: (ratio: number) => void;
}

/** Runs one against a gateway and an upstream of its own, and writes what was measured to `folder`. */
export async function runStreamProfile(options: {
  readonly name: StreamProfile;
  readonly scale: Scale;
  /** How long, where not as long as the scale has it. */
  readonly seconds: number | undefined;
  readonly progress: ProgressBar;
  readonly folder: string;
}): Promise<{ readonly verdict: Verdict; readonly text: string }> {
  const { name, scale, progress, folder } = options;
  const { streams, seconds: usual } = SIZES[scale][name];
  const seconds = options.seconds ?? usual;
  const pinning = choosePinning();
  const signer = createTokenSigner();
  const fixture = name === "ws" ? "raw" : "everything";
  const upstream = await startFixtureProcess(fixture, ["--era", "modern"], pinning.upstream);
  try {
    const upstreamUrl = upstream.url;
    const bare =
      name === "sse"
        ? spawnProcess("bare fan-out", [
            ...pinning.measured,
            process.execPath,
            join(import.meta.dirname, "bare-fanout.ts"),
          ])
        : undefined;
    const gateway = await startGatewayProcess({
      upstreamUrl,
      signer,
      prefix: pinning.measured,
      plugins: true,
    });
    try {
      pinning.pinSelf();
      const tokens = Array.from({ length: USERS }, (_, index) => signer.tokenOf(`user-${index}`));
      const onProgress = (ratio: number) => progress.update(name, ratio);
      const before = processUsage(gateway.process.pid);
      const [bareUrl] = (await bare?.waitFor(/http:\S+/, 10_000)) ?? [];
      const run = { gateway, upstream, bareUrl, tokens, streams, seconds, onProgress };
      const { latency, lag, bare: floor, checks } = await (name === "ws" ? sockets(run) : listeners(run));
      const after = processUsage(gateway.process.pid);
      progress.clear();
      const late = lag !== undefined && lag.p99 > VOID_LAG_MS;
      const verdict: Verdict = checks.some(({ ok }) => !ok) ? "failed" : late ? "void" : "passed";
      const cpu = ((after.cpuMicros ?? 0) - (before.cpuMicros ?? 0)) / Math.max(1, latency.count);
      const rowOf = (who: string, { count, p50, p95, p99, max }: Percentiles) => [
        who,
        ...[streams, count].map(String),
        ...[p50, p95, p99, max].map((value) => value.toFixed(2)),
      ];
      const usage = [cpu, (after.rssBytes ?? 0) / 1_048_576, lag?.p99 ?? 0];
      const rows = [
        [...rowOf("gateway", latency), ...usage.map((value) => value.toFixed(1))],
        ...(floor === undefined ? [] : [rowOf("bare node:http", floor)]),
      ];
      const text = [
        `${name} (${scale}, ${seconds} s): ${verdict.toUpperCase()}`,
        `${describeMachine()}; ${pinning.description}`,
        "",
        textTable(
          ["", "streams", "messages", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU µs/msg", "MB", "lag p99"],
          rows,
        ),
        "",
        checkTable(checks),
        "",
      ].join("\n");
      mkdirSync(folder, { recursive: true });
      const json = { name, scale, streams, seconds, verdict, checks, latency, lag, bare: floor };
      writeFileSync(join(folder, `${name}-${scale}.json`), `${JSON.stringify(json, null, 2)}\n`);
      return { verdict, text };
    } finally {
      await gateway.stop();
      await bare?.stop();
    }
  } finally {
    await upstream.stop();
  }
}

const check = (what: string, measured: string, bound: string, ok: boolean): Check => ({
  what,
  measured,
  bound,
  ok,
});
const below = (what: string, ms: number, bound: number): Check =>
  check(what, `${ms.toFixed(2)} ms`, `< ${bound} ms`, ms < bound);

/** Each socket makes a small call a second, on a schedule that is fixed in advance. */
async function sockets(run: Run): Promise<Measured> {
  const { gateway, tokens, streams, seconds, onProgress } = run;
  const url = gateway.mcpUrl.replace("http", "ws").replace(/mcp$/, "ws");
  const open = await openSockets(url, streams, tokens);
  const recorder = createRecorder([seconds], gateway.process.pid);
  const schedule = createSchedule([constant(streams, seconds)]);
  const { lag } = await runOpenLoop({ schedule, call: open.call, recorder, onProgress });
  open.close();
  const latency = recorder.latency.percentiles();
  const errors = schedule.total - (recorder.outcomes()["ok"] ?? 0);
  return {
    latency,
    lag,
    checks: [
      check("sockets dropped", String(open.drops), "0", open.drops === 0),
      check("errors", `${errors} of ${schedule.total}`, "0", errors === 0),
      below("p95 from due to answer", latency.p95, 200),
    ],
  };
}

/** How long a change is waited for before it counts as lost. */
const LOST_MS = 5_000;

/** How much longer than the same work in bare node:http it may take, where the machine is too slow for the bound. */
const MAX_RATIO = 1.5;

/** The upstream changes once a second; every listener has to hear of it, over one stream to the upstream. */
async function listeners(run: Run): Promise<Measured> {
  const { gateway, upstream, streams, seconds, bareUrl } = run;
  const told = await tell(run, gateway.mcpUrl, upstream.url);
  // Nothing else is under way there now.
  const { concurrent: upstreamStreams } = await upstream.stats();
  const bare = bareUrl === undefined ? undefined : await tell(run, bareUrl, bareUrl);
  const { latency } = told;
  const ratio = bare === undefined ? Number.NaN : latency.p99 / bare.latency.p99;
  return {
    latency,
    lag: undefined,
    ...(bare && { bare: bare.latency }),
    checks: [
      check("streams dropped", String(told.drops), "0", told.drops === 0),
      check("changes not heard", `${told.lost} of ${streams * seconds}`, "0", told.lost === 0),
      check("streams to the upstream", String(upstreamStreams), "1", upstreamStreams === 1),
      check(
        "p99 from change to listener",
        `${latency.p99.toFixed(2)} ms, ${ratio.toFixed(2)} × bare node:http`,
        `< 200 ms, or ≤ ${MAX_RATIO} ×`,
        latency.p99 < 200 || ratio <= MAX_RATIO,
      ),
    ],
  };
}

/** Opens the streams at `url`, makes a change at `changeUrl` once a second, and counts who hears of it when. */
async function tell({ tokens, streams, seconds, onProgress }: Run, url: string, changeUrl: string) {
  const open = await openListeners(url, streams, tokens);
  const histogram = createLatencyHistogram();
  let lost = 0;
  for (let change = 0; change < seconds; change += 1) {
    const heard = new Set<number>();
    const all = Promise.withResolvers<void>();
    const startedAt = performance.now();
    open.onChange = (listener) => {
      if (heard.has(listener)) return;
      heard.add(listener);
      histogram.record(performance.now() - startedAt);
      if (heard.size === streams) all.resolve();
    };
    const call = { name: "test_trigger_tool_change", arguments: {} };
    const { headers, body } = statelessRequest("tools/call", call, undefined);
    await (await fetch(changeUrl, { method: "POST", headers, body })).text();
    await Promise.race([all.promise, new Promise((resolve) => setTimeout(resolve, LOST_MS).unref())]);
    lost += streams - heard.size;
    onProgress((change + 1) / seconds);
    const restMs = 1_000 - (performance.now() - startedAt);
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  const { drops } = open;
  open.close();
  return { latency: histogram.percentiles(), lost, drops };
}
