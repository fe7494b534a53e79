import { parseArgs } from "node:util";
import { type ResultSize, runGatewayBar } from "./gateway-bar.ts";
import { runLists } from "./lists-profile.ts";
import type { Front } from "./mcp-caller.ts";
import type { Scale } from "./plan.ts";
import { PROFILES } from "./profiles.ts";
import { createProgressBar } from "./progress-bar.ts";
import { type ProfileReport, summary } from "./report.ts";
import { runProfile, writeReport } from "./run-profile.ts";
import { runSessionReuse } from "./session-reuse.ts";
import { startSite } from "./site.ts";
import { runStreamProfile, STREAM_PROFILES, type StreamProfile } from "./stream-profiles.ts";

const USAGE = `usage: loadtest NAME… [options]

  NAME         ${PROFILES.map(({ name }) => name).join(", ")}, all, ${STREAM_PROFILES.join(", ")},
               lists, gateway-bar, or session-reuse
  --scale S    smoke (seconds), ci (default) or full (as in the performance plan)
  --seconds N  for ${STREAM_PROFILES.join(", ")} and lists: how long, in place of what the scale says
  --front F    how the generator speaks to the gateway: legacy (default), modern or plain
  --result R   for gateway-bar: small (default) or 50kb
  --no-plugins for gateway-bar: limiter and retry off
  --bridged    for gateway-bar: the upstream speaks a revision of the other kind than the generator
  --rps N      for gateway-bar: calls per second, from 1000 (default)
  --out DIR    where the JSON and HTML reports go; default .gatewright/loadtest
  --no-baseline  load only the gateway, not the upstream directly and the bare proxy
`;

const EXIT = { passed: 0, failed: 1, usage: 2, void: 3 } as const;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    scale: { type: "string", default: "ci" },
    seconds: { type: "string" },
    front: { type: "string", default: "legacy" },
    out: { type: "string", default: ".gatewright/loadtest" },
    result: { type: "string", default: "small" },
    plugins: { type: "boolean", default: true },
    bridged: { type: "boolean", default: false },
    rps: { type: "string", default: "1000" },
    baseline: { type: "boolean", default: true },
    help: { type: "boolean", default: false },
  },
});

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n\n${USAGE}`);
  process.exit(EXIT.usage);
}

function oneOf<Value extends string>(option: string, value: string, known: readonly Value[]): Value {
  const found = known.find((each) => each === value);
  return found ?? refuse(`--${option} ${value} is not known; use ${known.join(", ")}`);
}

if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const scale = oneOf<Scale>("scale", values.scale, ["smoke", "ci", "full"]);
const front = oneOf<Front>("front", values.front, ["legacy", "modern", "plain"]);
const result = oneOf<ResultSize>("result", values.result, ["small", "50kb"]);
const { plugins, bridged } = values;
const rps = Number(values.rps);
if (!(Number.isInteger(rps) && rps >= 1_000)) refuse(`--rps ${values.rps} is no number of calls from 1000`);
const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
if (seconds !== undefined && !(Number.isInteger(seconds) && seconds > 0)) {
  refuse(`--seconds ${values.seconds} is no number of seconds`);
}
const names = positionals.includes("all") ? PROFILES.map(({ name }) => name) : positionals;
if (names.length === 0) refuse("name at least one profile");
for (const name of names) {
  const special = ["gateway-bar", "session-reuse", "lists"].includes(name) || isStream(name);
  if (!special && !PROFILES.some((profile) => profile.name === name)) {
    refuse(`there is no profile "${name}"`);
  }
}

function isStream(name: string): name is StreamProfile {
  return STREAM_PROFILES.some((each) => each === name);
}

const progress = createProgressBar(process.stdout);
const verdicts: ProfileReport["verdict"][] = [];
for (const name of names.filter(isStream)) {
  const { text, verdict } = await runStreamProfile({ name, scale, seconds, progress, folder: values.out });
  process.stdout.write(`${text}\n`);
  verdicts.push(verdict);
}
if (names.includes("lists")) {
  const { text, verdict } = await runLists({ scale, seconds, progress, folder: values.out });
  process.stdout.write(`${text}\n`);
  verdicts.push(verdict);
}
const others = names.filter((name) => !isStream(name) && name !== "lists");
if (others.length === 0) process.exit(exitCode());

const site = await startSite({ front, plugins, bridged, floor: others.includes("gateway-bar") });
const stop = (): void => {
  void site.close().then(() => process.exit(EXIT.failed));
};
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

try {
  for (const name of others) {
    if (name === "gateway-bar") {
      const shape = { front, scale, result, plugins, bridged, rps };
      const bar = await runGatewayBar({ site, ...shape, progress, folder: values.out });
      process.stdout.write(`${bar.text}\n`);
      verdicts.push(bar.verdict);
      continue;
    }
    if (name === "session-reuse") {
      const reuse = await runSessionReuse({ site, front, scale, progress });
      process.stdout.write(`${reuse.text}\n`);
      verdicts.push(reuse.verdict);
      continue;
    }
    const profile = PROFILES.find((each) => each.name === name);
    if (profile === undefined) continue;
    const report = await runProfile({ profile, scale, front, site, baseline: values.baseline, progress });
    const files = writeReport(report, values.out);
    process.stdout.write(`${summary(report)}\n${files.join("\n")}\n\n`);
    verdicts.push(report.verdict);
  }
} finally {
  await site.close();
}
process.exit(exitCode());

function exitCode(): number {
  if (verdicts.includes("failed")) return EXIT.failed;
  return verdicts.includes("void") ? EXIT.void : EXIT.passed;
}
