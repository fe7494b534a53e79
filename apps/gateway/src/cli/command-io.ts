import type { Readable, Writable } from "node:stream";

/** The outside of a command: what it reads and where it writes. */
export interface CommandIo {
  /** What a client that started this process says; `process.stdin` by default. */
  readonly input?: Readable;
  /** What such a client hears; `process.stdout` by default. */
  readonly output?: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes a line for people or scripts. */
  readonly out: (line: string) => void;
  /** Writes a line about what goes on or went wrong. */
  readonly err: (line: string) => void;
  /** Resolves when the process is asked to stop. */
  readonly stopped: () => Promise<void>;
  /** Calls the listener when the process is told to read its configuration again; returns how to end that. */
  readonly onHangUp?: (listener: () => void) => () => void;
}

/** Exit codes of the command. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, config: 3, listen: 4 } as const;
