import { type ChildProcess, spawn } from "node:child_process";
import { LineSplitter } from "./line-splitter.ts";
import type { OrphanGuard } from "./orphan-guard.ts";
import { UpstreamError } from "./upstream-error.ts";

/** How to start a child. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: { readonly [name: string]: string };
  readonly cwd: string | undefined;
  readonly maxLineBytes: number;
  readonly maxStderrLineBytes: number;
  /** Time after each step of stopping, in milliseconds. */
  readonly stopStepMs: number;
  readonly guard: OrphanGuard;
  readonly onLine: (line: Buffer) => void;
  readonly onStderr: ((line: string) => void) | undefined;
  /** The process ended, or could not be started; called once. */
  readonly onEnd: (end: ChildEnd) => void;
}

/** How a child ended. */
export interface ChildEnd {
  readonly detail: string;
  /** True when it never ran. */
  readonly notStarted: boolean;
  /** True when we asked it to end. */
  readonly stopped: boolean;
  readonly networkCode?: string;
}

/** How long to look for what SIGKILL leaves: processes that nobody has collected yet. */
const COLLECT_MS = 150;
const POLL_MS = 20;
/** How long output may still arrive after the process has ended. */
const DRAIN_MS = 100;
/** Most bytes that may wait for a child which does not read. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

/** A child process in a process group of its own that speaks lines. */
export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #group: number | undefined;
  #ended: ChildEnd | undefined;
  #asked = false;
  #stopping: Promise<void> | undefined;

  /** @throws UpstreamError for what the system takes for no command at all; otherwise `onEnd` tells */
  constructor(options: ChildOptions) {
    this.#options = options;
    const { command, args, env, cwd, guard } = options;
    const detached = process.platform !== "win32";
    try {
      this.#process = spawn(command, args, {
        env,
        cwd,
        detached,
        stdio: ["pipe", "pipe", "pipe"],
        windowsHide: true,
      });
    } catch (error) {
      throw unstartable(error);
    }
    this.#group = detached ? this.#process.pid : undefined;
    if (this.#group !== undefined) guard.watch(this.#group);
    this.#process.on("error", (error) => this.#onError(error));
    this.#process.on("exit", (code, signal) => this.#onExit(code, signal));
    this.#process.stdin?.on("error", () => undefined);
    this.#read();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Writes one message as a line. @throws UpstreamError when the child is gone or does not read */
  send(body: string | Buffer): void {
    const { stdin } = this.#process;
    if (this.#ended || this.#stopping || !stdin?.writable) {
      throw new UpstreamError("closed", "The upstream's process has ended.", { phase: "not_sent" });
    }
    if (stdin.writableLength > MAX_QUEUED_BYTES) {
      throw new UpstreamError("upstream_overloaded", "The upstream's process does not read.", {
        phase: "not_sent",
      });
    }
    stdin.write(withoutLineBreaks(body));
    stdin.write("\n");
  }

  /** Ends the whole group: end of input, SIGTERM, SIGKILL, each after `stopStepMs`. Never rejects. */
  stop(): Promise<void> {
    if (!this.#ended && !this.#stopping) this.#asked = true;
    return this.#wind();
  }

  #wind(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  #read(): void {
    const { maxLineBytes, maxStderrLineBytes, onLine, onStderr } = this.#options;
    const { stdout, stderr } = this.#process;
    const lines = new LineSplitter({
      maxBytes: maxLineBytes,
      tooLong: "fail",
      onLine,
      onTooLong: () => this.#tooLong(),
    });
    stdout?.on("data", (chunk: Buffer) => lines.push(chunk));
    stdout?.on("end", () => void this.#wind());
    const notes = new LineSplitter({
      maxBytes: maxStderrLineBytes,
      tooLong: "cut",
      onLine: (line) => onStderr?.(line.toString("utf8")),
    });
    stderr?.on("data", (chunk: Buffer) => notes.push(chunk));
    stderr?.on("end", () => notes.end());
  }

  #tooLong(): void {
    this.#end(`A line is longer than ${this.#options.maxLineBytes} bytes.`);
    void this.#wind();
  }

  #onError(error: Error & { code?: string }): void {
    if (this.#process.pid !== undefined) return;
    const code = error.code;
    const detail = `The command cannot be started${code === undefined ? "" : ` (${code})`}.`;
    this.#end(detail, { notStarted: true, ...(code !== undefined && { networkCode: code }) });
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    const detail =
      signal === null ? `The process ended with code ${code}.` : `The process was ended by ${signal}.`;
    const settle = () => {
      clearTimeout(timer);
      this.#end(detail);
    };
    // Answers may still be in the pipe; a grandchild may hold it open, hence the bound.
    const timer = setTimeout(settle, DRAIN_MS);
    this.#process.once("close", settle);
    void this.#wind();
  }

  #end(detail: string, more: Partial<ChildEnd> = {}): void {
    if (this.#ended) return;
    this.#ended = { detail, notStarted: false, stopped: this.#asked, ...more };
    this.#options.onEnd(this.#ended);
  }

  async #stop(): Promise<void> {
    const started = performance.now();
    const { stopStepMs } = this.#options;
    this.#process.stdin?.end();
    let sent: NodeJS.Signals | undefined;
    while (this.#isAlive()) {
      const elapsed = performance.now() - started;
      if (elapsed >= 2 * stopStepMs + COLLECT_MS) break;
      const wanted = elapsed >= 2 * stopStepMs ? "SIGKILL" : elapsed >= stopStepMs ? "SIGTERM" : undefined;
      if (wanted !== undefined && wanted !== sent) this.#signal(wanted);
      sent = wanted;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    if (this.#group !== undefined) this.#options.guard.forget(this.#group);
    this.#process.stdout?.destroy();
    this.#process.stderr?.destroy();
    this.#end("The process was stopped.");
  }

  /** True while the process, or any process of its group, exists. */
  #isAlive(): boolean {
    if (this.#process.pid === undefined) return false;
    if (this.#group === undefined)
      return this.#process.exitCode === null && this.#process.signalCode === null;
    try {
      process.kill(-this.#group, 0);
      return true;
    } catch (error) {
      return (error as { code?: string }).code === "EPERM";
    }
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      if (this.#group === undefined) this.#process.kill(signal);
      else process.kill(-this.#group, signal);
    } catch {
      // Gone in the meantime.
    }
  }
}

/** A message on one line: line breaks in valid JSON are white space between tokens. */
function withoutLineBreaks(body: string | Buffer): string | Buffer {
  if (!body.includes("\n") && !body.includes("\r")) return body;
  return body.toString().replaceAll(/[\r\n]/g, " ");
}

/** Without the cause: its text repeats the argument that is wrong, and arguments may be secrets. */
function unstartable(error: unknown): UpstreamError {
  const { code } = error as { readonly code?: unknown };
  const networkCode = typeof code === "string" ? code : undefined;
  const text = `The command cannot be started${networkCode === undefined ? "" : ` (${networkCode})`}.`;
  return new UpstreamError("upstream_unreachable", text, { phase: "not_sent", networkCode });
}
