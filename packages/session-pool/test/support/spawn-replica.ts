import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";

/** A replica process and how to call it. */
export interface ReplicaProcess {
  call<T>(method: string, ...args: unknown[]): Promise<T>;
  kill(): Promise<void>;
  /** Freezes it, as a long pause of the machine would. */
  freeze(): void;
  thaw(): void;
}

/** Starts `replica-process.ts`; it ends with the test process. */
export async function spawnReplica(redisPort: number): Promise<ReplicaProcess> {
  const child: ChildProcess = fork(join(import.meta.dirname, "replica-process.ts"), [String(redisPort)], {
    execArgv: ["--conditions=@gatewright/source"],
  });
  const open = new Map<number, PromiseWithResolvers<unknown>>();
  const waitFor = (id: number) => {
    const answer = Promise.withResolvers<unknown>();
    open.set(id, answer);
    return answer.promise;
  };
  child.on("message", ({ id, result, error }: { id: number; result: unknown; error?: string }) => {
    if (error === undefined) open.get(id)?.resolve(result);
    else open.get(id)?.reject(new Error(error));
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await waitFor(0);
  let last = 0;
  return {
    call<T>(method: string, ...args: unknown[]) {
      const id = ++last;
      child.send({ id, method, args });
      return waitFor(id) as Promise<T>;
    },
    freeze: () => void child.kill("SIGSTOP"),
    thaw: () => void child.kill("SIGCONT"),
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
