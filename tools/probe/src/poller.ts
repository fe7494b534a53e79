import type { Gateway } from "@gatewright/testkit";
import { type Call, wallNow } from "./call.ts";

/** What one look at the fleet found. */
export interface Look {
  /** Unix milliseconds. */
  readonly at: number;
  /** How many gateways follow which mode; `silent` did not answer. */
  readonly modes: Readonly<Record<string, number>>;
  /** Calls that ended since the last look, and how many of them were under the limiter (refused or charged). */
  readonly calls: number;
  readonly underLimit: number;
  readonly degraded: number;
}

/** Looks at every gateway and at the calls, over and over. */
export interface Poller {
  readonly looks: readonly Look[];
  stop(): Promise<void>;
}

/** Starts looking. */
export function startPoller(gateways: readonly Gateway[], calls: readonly Call[], pollMs: number): Poller {
  const looks: Look[] = [];
  let seen = 0;
  let looking: Promise<void> | undefined;
  const look = async () => {
    const modes: Record<string, number> = {};
    await Promise.all(
      gateways.map(async ({ url }) => {
        const mode = await modeOf(url);
        modes[mode] = (modes[mode] ?? 0) + 1;
      }),
    );
    const fresh = calls.slice(seen);
    seen += fresh.length;
    const count = (...rulings: readonly Call["ruling"][]) =>
      fresh.filter(({ ruling }) => rulings.includes(ruling)).length;
    looks.push({
      at: wallNow(),
      modes,
      calls: fresh.length,
      underLimit: count("limited", "charged"),
      degraded: count("degraded"),
    });
  };
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  }, pollMs);
  return {
    looks,
    async stop() {
      clearInterval(timer);
      await looking;
    },
  };
}

async function modeOf(url: string): Promise<string> {
  try {
    const signal = AbortSignal.timeout(1_000);
    const response = await fetch(`${url}/admin/plugins/rate_limiter/mode`, { signal });
    return ((await response.json()) as { readonly mode?: string }).mode ?? "silent";
  } catch {
    return "silent";
  }
}
