import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { chaosBars, reportOf } from "./report.ts";
import { runChaos } from "./run-chaos.ts";

const usage = `usage: chaos:sessions [options]

  --clients N   clients with a session each; default 200
  --replicas N  default 3
  --seconds N   how long they call; default 300
  --calls N     calls at least; default 20000
  --rounds N    how often each fault is done; default 3
  --hold N      how many seconds a replica stays away, and a network silent; default 6
  --out FILE    every call and every fault, as JSON
`;

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "200" },
    replicas: { type: "string", default: "3" },
    seconds: { type: "string", default: "300" },
    calls: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
    hold: { type: "string", default: "6" },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

function numberOf(option: "clients" | "replicas" | "seconds" | "calls" | "rounds" | "hold"): number {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  process.stderr.write(`--${option} ${values[option]} is not a whole number above 0\n\n${usage}`);
  process.exit(2);
}

const owners = { heartbeatMs: 1_000, deadAfterMs: 3_000, silenceMs: 3_000 };
const { isTTY } = process.stderr;
const width = 32;
const plan = { calls: numberOf("calls"), rounds: numberOf("rounds"), owners };
const verdict = await runChaos({
  ...plan,
  clients: numberOf("clients"),
  replicas: numberOf("replicas"),
  seconds: numberOf("seconds"),
  holdMs: 1_000 * numberOf("hold"),
  onProgress(label, ratio) {
    const filled = Math.round(ratio * width);
    const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)} ${Math.round(ratio * 100)} %  ${label}`;
    process.stderr.write(isTTY ? `\r\x1b[K${bar}` : `${bar}\n`);
  },
});
if (isTTY) process.stderr.write("\r\x1b[K");
const bars = chaosBars(verdict, plan);
process.stdout.write(`${reportOf(verdict, bars)}\n`);
if (values.out !== undefined) writeFileSync(values.out, JSON.stringify(verdict, null, 1));
const missed = bars.filter(({ met }) => !met);
if (missed.length > 0) {
  process.stderr.write(`${missed.length} missed: ${missed.map(({ what }) => what).join(", ")}\n`);
  process.exitCode = 1;
}
// Everything is closed by now: what still keeps the process alive is a fault, and is named.
setTimeout(() => {
  process.stderr.write(`left behind: ${process.getActiveResourcesInfo().join(", ")}\n`);
  process.exit(3);
}, 10_000).unref();
// Node 24 can spin for ever when a process ends of itself while a socket that was reset has a request under way.
process.once("beforeExit", () => process.exit());
