import { fork } from "node:child_process";
import { join } from "node:path";

/** Runs one measurement in a process of its own, so that none warms or pollutes another; resolves with its result. */
export function measure<T>(name: string, ...args: string[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "variants", `${name}.ts`), args, {
      execArgv: ["--conditions=@gatewright/source", "--expose-gc"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    let result: T | undefined;
    child.on("message", (message) => {
      result = message as T;
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (result === undefined)
        reject(new Error(`${name} ${args.join(" ")} ended with ${code} and no result`));
      else resolve(result);
    });
  });
}
