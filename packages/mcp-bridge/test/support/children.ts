import { fileURLToPath } from "node:url";

/** A small legacy MCP server over stdio in plain Node; its behaviour is set by arguments. */
export const childPath = fileURLToPath(new URL("./stdio-child.mjs", import.meta.url));

/** Waits for a condition with a deadline. */
export async function eventually(check: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error("The condition did not come true in time.");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** True while a process exists and is no zombie that merely waits to be collected. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const { readFile } = await import("node:fs/promises");
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !/\) Z /.test(stat);
}
