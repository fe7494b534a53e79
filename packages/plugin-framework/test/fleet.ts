import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ConvergenceReport, Mode, ModeExplanation, SetModeOptions } from "../src/index.ts";
import type { Decision, WorkerOptions } from "./fleet-worker.ts";

const AT_A_TIME = 3;

/** What `set` of a worker answers. */
export interface SetAnswer {
  readonly report: ConvergenceReport;
  readonly returnedAt: number;
  readonly wallToMonotonic: number;
}

/** One process of the fleet. */
export class Worker {
  readonly replica: string;
  readonly process: ChildProcess;
  readonly ready: Promise<void>;
  #lastId = 0;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();

  constructor(options: WorkerOptions) {
    this.replica = options.replica;
    this.process = fork(join(import.meta.dirname, "fleet-worker.ts"), [JSON.stringify(options)], {
      execArgv: ["--conditions=@gatewright/source"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.ready = new Promise((resolve, reject) => {
      this.process.on(
        "message",
        (message: { ready?: true; id?: number; value?: unknown; error?: string }) => {
          if (message.ready) return resolve();
          const waiting = this.#waiting.get(message.id ?? 0);
          this.#waiting.delete(message.id ?? 0);
          if (message.error === undefined) waiting?.resolve(message.value);
          else waiting?.reject(new Error(message.error));
        },
      );
      this.process.once("exit", () => {
        const gone = new Error(`${this.replica} has exited`);
        reject(gone);
        for (const { reject: fail } of this.#waiting.values()) fail(gone);
      });
    });
    this.ready.catch(() => undefined);
  }

  send<T>(command: string, argument: object = {}): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.process.send({ id, command, argument });
    });
  }

  call = (user: string) => this.send<Decision>("call", { user });
  set = (mode: Mode, set: SetModeOptions = {}) => this.send<SetAnswer>("set", { mode, set });
  explain = () => this.send<ModeExplanation>("explain");
}

/** Real processes that share one Redis. */
export class Fleet {
  readonly workers: Worker[] = [];
  readonly #options: Omit<WorkerOptions, "replica">;

  constructor(options: Omit<WorkerOptions, "replica">) {
    this.#options = options;
  }

  /** A few at a time: two dozen programs that are loaded at once leave no processor to the other tests. */
  async grow(count: number, options: Partial<WorkerOptions> = {}): Promise<Worker[]> {
    const first = this.workers.length;
    for (let index = 0; index < count; index++) {
      const replica = `replica-${first + index}`;
      this.workers.push(new Worker({ ...this.#options, replica, ...options }));
      if (index % AT_A_TIME === AT_A_TIME - 1) await this.#ready();
    }
    await this.#ready();
    return this.workers.slice(first);
  }

  async #ready(): Promise<void> {
    await Promise.all(this.workers.map(({ ready }) => ready));
  }

  all<T>(command: string, argument: object = {}): Promise<T[]> {
    return Promise.all(this.workers.map((worker) => worker.send<T>(command, argument)));
  }

  /** Has a worker leave in good order. */
  async part(worker: Worker): Promise<void> {
    const exit = once(worker.process, "exit");
    // It ends without an answer.
    worker.send("close").catch(() => undefined);
    await exit;
    this.#drop(worker);
  }

  async kill(worker: Worker): Promise<void> {
    const exit = once(worker.process, "exit");
    worker.process.kill("SIGKILL");
    await exit;
    this.#drop(worker);
  }

  #drop(worker: Worker): void {
    this.workers.splice(this.workers.indexOf(worker), 1);
  }

  async close(): Promise<void> {
    await Promise.all(
      this.workers.map(
        (worker) =>
          new Promise<void>((resolve) => {
            if (worker.process.exitCode !== null || worker.process.signalCode !== null) return resolve();
            worker.process.once("exit", () => resolve());
            worker.process.kill("SIGKILL");
          }),
      ),
    );
  }
}
