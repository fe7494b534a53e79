import { z } from "zod";

/** A direction through the proxy: `up` is client to server, `down` is server to client. */
export type Direction = "up" | "down";

/** How a connection is cut: by RST, by an orderly end, or by silence with the sockets left open. */
export type CutMode = "rst" | "fin" | "blackhole";

/** Cuts the connection in which `pattern` passes, e.g. "COMMIT" on its way to the server. */
export interface CutAt {
  /** Text to look for, case ignored, also across the borders of chunks; 1 to 256 characters. */
  readonly pattern: string;
  /**
   * `before`: the chunk with the text is withheld and the connection cut. `after`: it is forwarded, the first
   * answer to it is withheld, and then the connection is cut — the server has done what the client never hears of.
   */
  readonly position: "before" | "after";
  readonly mode: CutMode;
  /** Cut only this many connections, then let the text pass; default 1. */
  readonly times: number;
}

/** What happens to one direction of every connection. */
export interface DirectionFaults {
  /** Delay of every chunk, in milliseconds; order is kept. */
  readonly latencyMs: number;
  /** Spread of the delay: latency ± jitter, evenly. */
  readonly jitterMs: number;
  /** Bytes per second and connection; 0 is unlimited. */
  readonly bytesPerSecond: number;
  /**
   * Nothing is read or forwarded, ends and resets included, as when a firewall drops packets; idle sockets stay
   * open. What was sent meanwhile arrives after the fault is lifted, as TCP would retransmit it.
   */
  readonly blackhole: boolean;
  /** Forward this many bytes more, counted per connection from when the fault was set, then cut; 0 is off. */
  readonly cutAfterBytes: number;
  /** How `cutAfterBytes` cuts. */
  readonly cutMode: CutMode;
  /** Cut where a text passes; off when absent. */
  readonly cutAt?: CutAt | undefined;
}

/** All faults of a proxy. */
export interface Faults {
  readonly up: DirectionFaults;
  readonly down: DirectionFaults;
  /** What new connections meet: `forward`, `reset` at once, or `hang` (accepted, then silence). */
  readonly connect: "forward" | "reset" | "hang";
  /** Share of new connections, 0 to 1, that are dropped at once by a reset. */
  readonly dropRatio: number;
}

/** A change of one direction; of `cutAt` only the pattern is required (defaults: after, rst, once). */
export type DirectionChange = Partial<Omit<DirectionFaults, "cutAt">> & {
  readonly cutAt?: Pick<CutAt, "pattern"> & Partial<CutAt>;
};

/** A change of faults: what is left out stays as it is; `both` sets the two directions alike. */
export interface FaultChange {
  readonly up?: DirectionChange;
  readonly down?: DirectionChange;
  readonly both?: DirectionChange;
  readonly connect?: Faults["connect"];
  readonly dropRatio?: number;
}

const cutMode = z.enum(["rst", "fin", "blackhole"]);

const cutAt = z.strictObject({
  pattern: z.string().min(1).max(256),
  position: z.enum(["before", "after"]).default("after"),
  mode: cutMode.default("rst"),
  times: z.int().min(1).default(1),
});

const direction = z.strictObject({
  latencyMs: z.number().min(0).max(600_000).optional(),
  jitterMs: z.number().min(0).max(600_000).optional(),
  bytesPerSecond: z.number().min(0).optional(),
  blackhole: z.boolean().optional(),
  cutAfterBytes: z.int().min(0).optional(),
  cutMode: cutMode.optional(),
  cutAt: cutAt.optional(),
});

const change = z.strictObject({
  up: direction.optional(),
  down: direction.optional(),
  both: direction.optional(),
  connect: z.enum(["forward", "reset", "hang"]).optional(),
  dropRatio: z.number().min(0).max(1).optional(),
});

const noDirectionFaults: DirectionFaults = {
  latencyMs: 0,
  jitterMs: 0,
  bytesPerSecond: 0,
  blackhole: false,
  cutAfterBytes: 0,
  cutMode: "rst",
};

/** The state of a proxy that only forwards. */
export const noFaults: Faults = {
  up: noDirectionFaults,
  down: noDirectionFaults,
  connect: "forward",
  dropRatio: 0,
};

/**
 * Applies a change to the faults in force.
 *
 * @throws ZodError when the change has an unknown key or a value out of range.
 */
export function applyChange(faults: Faults, input: unknown): Faults {
  const { up, down, both, connect, dropRatio } = change.parse(input);
  return {
    up: { ...faults.up, ...given(both), ...given(up) },
    down: { ...faults.down, ...given(both), ...given(down) },
    connect: connect ?? faults.connect,
    dropRatio: dropRatio ?? faults.dropRatio,
  };
}

function given(part: z.infer<typeof direction> | undefined): Partial<DirectionFaults> {
  const entries = Object.entries(part ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries);
}
