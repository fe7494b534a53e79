import type { Socket } from "node:net";
import type { CutMode, DirectionFaults } from "./faults.ts";
import { createTextWatch, type TextWatch } from "./text-watch.ts";

/** One direction of a proxied connection. */
export interface DirectionPipe {
  /** Takes the faults in force; byte counters of `cutAfterBytes` start anew when that value changes. */
  update(faults: DirectionFaults): void;
  /** Drops whatever passes from now on, this connection's ends included (half-open). */
  swallow(): void;
  /** Stops timers and forgets what is queued. */
  stop(): void;
}

/** What a pipe needs from its connection. */
export interface PipeContext {
  readonly source: Socket;
  readonly target: Socket;
  readonly random: () => number;
  /** Bytes that were passed on. */
  forwarded(bytes: number): void;
  cut(mode: CutMode): void;
  /** Asks whether a text that was seen may cut this connection, and counts it. */
  claimCut(pattern: string): boolean;
  /** The text has passed on: the first answer to it shall cut the connection. */
  cutAtAnswer(mode: CutMode): void;
  /** Called with each chunk before it goes anywhere; true withholds it. */
  intercept(): boolean;
}

/** Bytes a pipe holds before it stops reading. */
const highWaterBytes = 256 * 1024;
/** Bandwidth is shaped in slices of this length. */
const sliceMs = 50;

type Item =
  | { readonly due: number; readonly data: Buffer }
  | { readonly due: number; readonly end: "fin" | "rst" };

/** Connects `source` to `target` in one direction, under faults that may change at any time. */
export function createDirectionPipe(context: PipeContext, initial: DirectionFaults): DirectionPipe {
  const { source, target } = context;
  const queue: Item[] = [];
  let faults = initial;
  let queuedBytes = 0;
  let lastDue = 0;
  let budgetFreeAt = 0;
  let bytesUntilCut = initial.cutAfterBytes;
  let watch = watchOf(initial);
  let timer: NodeJS.Timeout | undefined;
  let waitingForDrain = false;
  let swallowing = false;
  let stopped = false;

  const due = (): number => {
    const spread = faults.jitterMs === 0 ? 0 : (context.random() * 2 - 1) * faults.jitterMs;
    const at = performance.now() + Math.max(0, faults.latencyMs + spread);
    lastDue = Math.max(lastDue, at);
    return lastDue;
  };

  const write = (data: Buffer) => {
    context.forwarded(data.length);
    if (!target.write(data)) {
      waitingForDrain = true;
      target.once("drain", () => {
        waitingForDrain = false;
        pump();
      });
    }
  };

  /** Passes on as much of the data as bandwidth and `cutAfterBytes` allow; returns the rest. */
  const pass = (data: Buffer, now: number): Buffer | undefined => {
    let length = data.length;
    if (faults.bytesPerSecond > 0) {
      length = Math.min(length, Math.max(1, Math.floor((faults.bytesPerSecond * sliceMs) / 1000)));
      budgetFreeAt = Math.max(budgetFreeAt, now) + (length / faults.bytesPerSecond) * 1000;
    }
    if (bytesUntilCut > 0) {
      length = Math.min(length, bytesUntilCut);
      bytesUntilCut -= length;
      write(data.subarray(0, length));
      if (bytesUntilCut === 0) {
        context.cut(faults.cutMode);
        return undefined;
      }
    } else {
      write(length === data.length ? data : data.subarray(0, length));
    }
    return length === data.length ? undefined : data.subarray(length);
  };

  const pump = () => {
    clearTimeout(timer);
    timer = undefined;
    while (!stopped && !faults.blackhole && !waitingForDrain) {
      const item = queue[0];
      if (!item) break;
      const now = performance.now();
      const at = Math.max(item.due, faults.bytesPerSecond > 0 ? budgetFreeAt : 0);
      if (at > now) {
        timer = setTimeout(pump, at - now);
        break;
      }
      queue.shift();
      if ("end" in item) {
        if (item.end === "fin") target.end();
        else target.resetAndDestroy();
        break;
      }
      queuedBytes -= item.data.length;
      const rest = pass(item.data, now);
      if (rest) {
        queue.unshift({ due: item.due, data: rest });
        queuedBytes += rest.length;
      }
    }
    flow();
  };

  const flow = () => {
    if (stopped) return;
    const reading = swallowing || (!faults.blackhole && queuedBytes < highWaterBytes);
    if (reading) source.resume();
    else source.pause();
  };

  const seen = (data: Buffer) => {
    const { cutAt } = faults;
    if (!cutAt || !watch?.feed(data) || !context.claimCut(cutAt.pattern)) return false;
    if (cutAt.position === "before") {
      context.cut(cutAt.mode);
      return true;
    }
    context.cutAtAnswer(cutAt.mode);
    return false;
  };

  source.on("data", (data: Buffer) => {
    if (swallowing || stopped || context.intercept() || seen(data)) return;
    queuedBytes += data.length;
    queue.push({ due: due(), data });
    pump();
  });
  const ended = (end: "fin" | "rst") => {
    if (swallowing || stopped) return;
    queue.push({ due: due(), end });
    pump();
  };
  source.once("end", () => ended("fin"));
  source.once("error", () => ended("rst"));
  flow();

  return {
    update(next) {
      if (next.cutAfterBytes !== faults.cutAfterBytes) bytesUntilCut = next.cutAfterBytes;
      if (next.cutAt !== faults.cutAt) watch = watchOf(next);
      faults = next;
      pump();
    },
    swallow() {
      swallowing = true;
      queue.length = 0;
      queuedBytes = 0;
      flow();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
      queue.length = 0;
    },
  };
}

function watchOf(faults: DirectionFaults): TextWatch | undefined {
  return faults.cutAt && createTextWatch(faults.cutAt.pattern);
}
