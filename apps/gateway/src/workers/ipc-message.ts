const tag = "gatewright/workers";

/** One end of the channel between a worker and its primary: `process`, a `ChildProcess` and a `cluster.Worker` fit. */
export interface IpcEnd {
  send?(message: unknown): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
  off(event: "message", listener: (message: unknown) => void): unknown;
}

/** What travels on it beside other traffic, which is left alone. */
export type IpcMessage =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly service: string;
      readonly method: string;
      readonly args: readonly unknown[];
    }
  | { readonly kind: "reply"; readonly id: number; readonly value?: unknown; readonly error?: string }
  | { readonly kind: "event"; readonly name: string; readonly data?: unknown };

/** Sends a message; an end that has just closed loses it. */
export function post(end: IpcEnd, message: IpcMessage): void {
  try {
    end.send?.({ tag, ...message });
  } catch {
    // The other process has gone, and whatever it was told of goes with it.
  }
}

/** The message if it is one of these. */
export function asIpcMessage(raw: unknown): IpcMessage | undefined {
  const ours = typeof raw === "object" && raw !== null && (raw as { readonly tag?: unknown }).tag === tag;
  return ours ? (raw as IpcMessage) : undefined;
}
