/** One end of a channel between two processes: `process`, a `ChildProcess` and a `cluster.Worker` fit. */
export interface IpcPort {
  /** Without the callback a channel that is closed would raise an `error` event, which ends a process. */
  send?(message: unknown, sent?: (error: Error | null) => void): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
  off(event: "message", listener: (message: unknown) => void): unknown;
  /** `disconnect`: nothing comes through any more. `exit`: the other process has ended. Left out: never told. */
  once?(event: "disconnect" | "exit", listener: () => void): unknown;
}

const TAG = "gatewright/control";

/** A call of a worker. */
export interface IpcCall {
  readonly tag: typeof TAG;
  readonly kind: "call";
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** The hub's answer. */
export interface IpcReply {
  readonly tag: typeof TAG;
  readonly kind: "reply";
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** A frame on its way to every worker. */
export interface IpcFrame {
  readonly tag: typeof TAG;
  readonly kind: "frame";
  readonly scope: string;
  readonly rev: number;
}

/** Everything of this package that travels on a port; other traffic on it is left alone. */
export type IpcMessage = IpcCall | IpcReply | IpcFrame;

/** Adds the mark by which the messages are told from others. */
export function marked<T extends object>(message: T): T & { readonly tag: typeof TAG } {
  return { tag: TAG, ...message };
}

/** The message if it is one of ours. */
export function asIpcMessage(message: unknown): IpcMessage | undefined {
  const ours = typeof message === "object" && message !== null && (message as { tag?: unknown }).tag === TAG;
  return ours ? (message as IpcMessage) : undefined;
}
