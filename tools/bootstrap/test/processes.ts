import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

/** An environment variable that every descendant inherits, by which they are found in /proc. */
export function createMark(): { readonly env: Readonly<Record<string, string>>; alive(): readonly string[] } {
  const value = randomUUID();
  return {
    env: { GATEWRIGHT_TEST_MARK: value },
    alive: () =>
      readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .flatMap((pid) => commandOf(pid, `GATEWRIGHT_TEST_MARK=${value}`)),
  };
}

function commandOf(pid: string, mark: string): string[] {
  try {
    if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(mark)) return [];
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return command === "" ? [] : [`${pid} ${command}`]; // a zombie has no command line
  } catch {
    return [];
  }
}
