import { parseArgs } from "node:util";

/** What a run does. */
export interface ProbeOptions {
  /** Hosts that would stand behind the balancer; each runs `workers` processes. */
  readonly replicas: number;
  readonly workers: number;
  /** Who switches: the admin route of one gateway, or this process as a member of the bus. */
  readonly via: "http" | "bus";
  /** Time between two looks at the fleet. */
  readonly pollMs: number;
  /** Longest wait for a switch to converge. */
  readonly maxConvergenceMs: number;
  /** The run goes on, whole cycles of switches, until so many calls are made. */
  readonly calls: number;
  /** Traffic between a converged switch and the next one. */
  readonly holdMs: number;
  /** Calls under way at once. */
  readonly concurrency: number;
  /** Forbid PUBLISH in Redis: replicas then learn of a switch by their lease. */
  readonly suppressPublish: boolean;
  /** Freeze one process for 3 s around the first switch of a cycle. */
  readonly pauseReplica: boolean;
  /** Restart an empty Redis in the middle of a cycle. */
  readonly restartRedis: boolean;
  /** Gateways that start at the same time. */
  readonly startAtOnce: number;
}

/** A mistake on the command line. */
export class UsageError extends Error {}

/** Printed by `--help`. */
export const USAGE = `usage: npm run probe:toggle -- [options]

  --replicas 3 --workers 8   gateway processes: the product of the two
  --via http|bus             switch by the admin route (default) or over the bus
  --poll 1s                  time between two looks at the fleet
  --max-convergence 60s      a switch that takes longer has failed
  --calls 20000              whole cycles of six switches until so many calls are made
  --hold 1s                  traffic between two switches
  --concurrency 32           calls under way at once
  --suppress-publish         no message reaches anybody: leases alone
  --pause-replica            freeze one process (SIGSTOP) around a switch, once a cycle
  --restart-redis            restart an empty Redis between two switches, once a cycle
  --start-at-once 3          gateways that start at the same time
  --out DIR                  folder of the plot and the figures; default .gatewright/probe
`;

/** Reads `1s`, `500ms`, `2m` or plain milliseconds. */
export function readDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  const unit = { ms: 1, s: 1_000, m: 60_000 }[match?.[2] ?? "ms"];
  if (match === null || unit === undefined)
    throw new UsageError(`--${option} ${text} is no duration; write 500ms, 1s or 2m`);
  return Number(match[1]) * unit;
}

/** Reads the command line; undefined when help is asked for. */
export function readOptions(args: readonly string[]): (ProbeOptions & { readonly out: string }) | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const number = (option: "replicas" | "workers" | "calls" | "concurrency" | "start-at-once") => {
    const value = Number(values[option]);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${option} has to be a whole number from 1`);
    return value;
  };
  const { via } = values;
  if (via !== "http" && via !== "bus") throw new UsageError(`--via is http or bus, not ${via}`);
  return {
    replicas: number("replicas"),
    workers: number("workers"),
    via,
    pollMs: readDuration("poll", values.poll),
    maxConvergenceMs: readDuration("max-convergence", values["max-convergence"]),
    calls: number("calls"),
    holdMs: readDuration("hold", values.hold),
    concurrency: number("concurrency"),
    suppressPublish: values["suppress-publish"],
    pauseReplica: values["pause-replica"],
    restartRedis: values["restart-redis"],
    startAtOnce: number("start-at-once"),
    out: values.out,
  };
}

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        replicas: { type: "string", default: "3" },
        workers: { type: "string", default: "8" },
        via: { type: "string", default: "http" },
        poll: { type: "string", default: "1s" },
        "max-convergence": { type: "string", default: "60s" },
        calls: { type: "string", default: "20000" },
        hold: { type: "string", default: "1s" },
        concurrency: { type: "string", default: "32" },
        "suppress-publish": { type: "boolean", default: false },
        "pause-replica": { type: "boolean", default: false },
        "restart-redis": { type: "boolean", default: false },
        "start-at-once": { type: "string", default: "3" },
        out: { type: "string", default: ".gatewright/probe" },
        help: { type: "boolean", default: false },
      },
    });
    return values;
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause));
  }
}
