import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";

/** Which cores the parts of a run are bound to, so that the generator does not take time from what it measures. */
export interface Pinning {
  /** In front of a command, for example `["taskset", "-c", "0"]`; empty where nothing is pinned. */
  readonly measured: readonly string[];
  readonly upstream: readonly string[];
  /** For the report. */
  readonly description: string;
  /** Binds this process. */
  pinSelf(): void;
}

const hasTaskset = (): boolean => spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0;

/** The measured process gets a core of its own; generator and upstream share the others. */
export function choosePinning(cores = availableParallelism(), taskset = hasTaskset()): Pinning {
  if (cores < 2 || !taskset) {
    const description = taskset ? "not pinned: one core" : "not pinned: no taskset";
    return { measured: [], upstream: [], description, pinSelf: () => undefined };
  }
  const generator = "1";
  const upstream = cores > 2 ? "2" : "1";
  return {
    measured: ["taskset", "-c", "0"],
    upstream: ["taskset", "-c", upstream],
    description: `gateway and bare proxy on core 0, generator on core ${generator}, upstream on core ${upstream}`,
    pinSelf: () => {
      spawnSync("taskset", ["-a", "-c", "-p", generator, String(process.pid)], { stdio: "ignore" });
    },
  };
}
