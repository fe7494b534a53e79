import type { Logger } from "pino";
import { asIpcMessage, type IpcEnd } from "./ipc-message.ts";
import type { WorkerHub } from "./worker-hub.ts";

/** A worker process as its supervisor holds it. */
export interface WorkerProcess extends IpcEnd {
  kill(signal: NodeJS.Signals): void;
  /** Calls `listener` once, at its end. */
  onExit(listener: (code: number | null, signal: NodeJS.Signals | null) => void): void;
}

/** What the supervisor works with. Times in milliseconds. */
export interface SupervisorOptions {
  readonly count: number;
  /** Starts worker `index`, counted from 1. */
  readonly fork: (index: number) => WorkerProcess;
  readonly hub: Pick<WorkerHub, "attach">;
  readonly logger: Logger;
  /** How long workers may take to end after SIGTERM. */
  readonly stopMs: number;
  /** Shortest pause before a worker is started again; doubled for each end soon after a start. */
  readonly minPauseMs?: number;
  readonly maxPauseMs?: number;
  /** A worker that has run for so long is well: the next pause is the shortest again. */
  readonly wellAfterMs?: number;
}

interface Seat {
  readonly index: number;
  process: WorkerProcess | undefined;
  startedAt: number;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

/** A worker ended before the gateway had started; carries the worker's exit code. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
  readonly code: number;

  constructor(code: number) {
    super(`a worker ended with code ${code} before it listened`);
    this.code = code;
  }
}

/** Keeps a number of workers running: one that ends is started again, after a pause that grows while it fails. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #seats: readonly Seat[];
  readonly #listening = new Set<number>();
  readonly #begun = Promise.withResolvers<string>();
  #state: "starting" | "running" | "stopping" = "starting";
  #ended: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#seats = Array.from({ length: options.count }, (_, at) => ({
      index: at + 1,
      process: undefined,
      startedAt: 0,
      failures: 0,
      timer: undefined,
    }));
  }

  /**
   * Starts all workers; resolves with the URL once all listen.
   *
   * @throws {StartFailed} when one ends before that
   */
  start(): Promise<string> {
    for (const seat of this.#seats) this.#fork(seat);
    return this.#begun.promise;
  }

  /** Sends a signal to all workers that run. */
  signal(signal: NodeJS.Signals): void {
    for (const { process } of this.#seats) process?.kill(signal);
  }

  /** Has all workers end in good order, and kills those that are late. Idempotent. */
  async stop(): Promise<void> {
    this.#state = "stopping";
    for (const { timer } of this.#seats) clearTimeout(timer);
    const living = () => this.#seats.filter((seat) => seat.process !== undefined);
    for (const { process } of living()) process?.kill("SIGTERM");
    const killer = setTimeout(() => {
      for (const { process } of living()) process?.kill("SIGKILL");
    }, this.#options.stopMs);
    if (living().length > 0) {
      await new Promise<void>((resolve) => {
        this.#ended = () => living().length === 0 && resolve();
      });
    }
    clearTimeout(killer);
  }

  #fork(seat: Seat): void {
    const { fork, hub } = this.#options;
    const process = fork(seat.index);
    seat.process = process;
    seat.startedAt = performance.now();
    const detach = hub.attach(seat.index, process);
    process.on("message", (raw) => {
      const message = asIpcMessage(raw);
      if (message?.kind === "event" && message.name === "listening") this.#heard(seat, String(message.data));
    });
    process.onExit((code, signal) => {
      detach();
      seat.process = undefined;
      this.#onExit(seat, code, signal);
    });
  }

  #heard(seat: Seat, url: string): void {
    this.#listening.add(seat.index);
    if (this.#state !== "starting" || this.#listening.size < this.#options.count) return;
    this.#state = "running";
    this.#begun.resolve(url);
  }

  #onExit(seat: Seat, code: number | null, signal: NodeJS.Signals | null): void {
    const { logger, minPauseMs = 200, maxPauseMs = 10_000, wellAfterMs = 30_000 } = this.#options;
    if (this.#state === "stopping") {
      this.#ended?.();
      return;
    }
    if (this.#state === "starting" && !this.#listening.has(seat.index)) {
      this.#begun.reject(new StartFailed(code ?? 1));
      return;
    }
    seat.failures = performance.now() - seat.startedAt > wellAfterMs ? 0 : seat.failures + 1;
    const pauseMs = Math.min(maxPauseMs, minPauseMs * 2 ** Math.max(0, seat.failures - 1));
    logger.error({ worker: seat.index, code, signal, pauseMs }, "a worker ended; it is started again");
    seat.timer = setTimeout(() => this.#fork(seat), pauseMs);
  }
}
