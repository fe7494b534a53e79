/** A timer of a {@link FakeClock}; `ref` and `unref` exist so that it can stand in for Node's. */
export interface FakeTimer {
  readonly id: number;
  ref(): FakeTimer;
  unref(): FakeTimer;
  hasRef(): boolean;
}

/** A clock that moves only when told to. Its methods are bound: they may be passed on singly. */
export interface FakeClock {
  /** Milliseconds of the wall clock. */
  now(): number;
  /** Milliseconds of the monotonic clock: 0 at creation, untouched by `setNow`. */
  monotonic(): number;
  setTimeout(callback: () => void, delayMs?: number): FakeTimer;
  clearTimeout(timer: unknown): void;
  setInterval(callback: () => void, delayMs: number): FakeTimer;
  clearInterval(timer: unknown): void;
  /** Resolves when the clock has moved by `delayMs`; rejects with the signal's reason when that aborts. */
  sleep(delayMs: number, options?: { signal?: AbortSignal }): Promise<void>;
  /** Moves on by `ms`, running due timers in order; promise callbacks run before, between and after them. */
  advance(ms: number): Promise<void>;
  /** Moves on by `ms` in one synchronous go: due timers run, promise callbacks only later. */
  advanceSync(ms: number): void;
  /** Moves to the next timer and runs it; resolves to false when there is none. */
  next(): Promise<boolean>;
  /** Sets the wall clock, as a clock correction would; timers are not affected. */
  setNow(ms: number): void;
  /** How many timers are waiting. */
  readonly pendingTimers: number;
}

interface Entry extends FakeTimer {
  due: number;
  readonly intervalMs?: number;
  readonly callback: () => void;
}

/** Creates a clock that stands at `startMs` (default 2026-01-01T00:00:00Z). */
export function createFakeClock({ startMs = Date.UTC(2026, 0, 1) } = {}): FakeClock {
  let wallOffset = startMs;
  let elapsed = 0;
  let lastId = 0;
  const timers = new Map<number, Entry>();

  const add = (callback: () => void, delayMs: number, repeat: boolean): Entry => {
    let referenced = true;
    const delay = Number.isFinite(delayMs) ? Math.max(0, delayMs) : 0;
    const entry: Entry = {
      id: ++lastId,
      due: elapsed + delay,
      ...(repeat ? { intervalMs: Math.max(1, delay) } : {}),
      callback,
      ref: () => {
        referenced = true;
        return entry;
      },
      unref: () => {
        referenced = false;
        return entry;
      },
      hasRef: () => referenced,
    };
    timers.set(entry.id, entry);
    return entry;
  };
  const remove = (timer: unknown) => {
    if (typeof timer === "object" && timer !== null && "id" in timer) timers.delete(timer.id as number);
  };
  const earliest = (limit: number): Entry | undefined => {
    let found: Entry | undefined;
    for (const timer of timers.values()) {
      if (timer.due <= limit && (!found || timer.due < found.due)) found = timer;
    }
    return found;
  };
  const fire = (entry: Entry) => {
    elapsed = Math.max(elapsed, entry.due);
    if (entry.intervalMs === undefined) timers.delete(entry.id);
    else entry.due += entry.intervalMs;
    entry.callback();
  };

  return {
    now: () => wallOffset + elapsed,
    monotonic: () => elapsed,
    setTimeout: (callback, delayMs = 0) => add(callback, delayMs, false),
    clearTimeout: remove,
    setInterval: (callback, delayMs) => add(callback, delayMs, true),
    clearInterval: remove,
    sleep(delayMs, { signal } = {}) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const abort = () => {
          remove(timer);
          reject(signal?.reason);
        };
        const timer = add(
          () => {
            signal?.removeEventListener("abort", abort);
            resolve();
          },
          delayMs,
          false,
        );
        signal?.addEventListener("abort", abort, { once: true });
      });
    },
    async advance(ms) {
      const target = elapsed + ms;
      await settle();
      for (let entry = earliest(target); entry; entry = earliest(target)) {
        fire(entry);
        await settle();
      }
      elapsed = target;
      await settle();
    },
    advanceSync(ms) {
      const target = elapsed + ms;
      for (let entry = earliest(target); entry; entry = earliest(target)) fire(entry);
      elapsed = target;
    },
    async next() {
      await settle();
      const entry = earliest(Number.POSITIVE_INFINITY);
      if (!entry) return false;
      fire(entry);
      await settle();
      return true;
    },
    setNow(ms) {
      wallOffset = ms - elapsed;
    },
    get pendingTimers() {
      return timers.size;
    },
  };
}

/** Lets promise callbacks run out: one turn of the event loop drains the whole microtask queue. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
