import type { ServerResponse } from "node:http";
import type { FixtureStats } from "./fixture.ts";

/** Counts what a fixture sees. One per server. */
export interface Traffic {
  /** Counts a request that is not a POST exchange (GET, DELETE). */
  count(method: string): void;
  /** Counts a POST exchange now and its end, or its abort, when the response closes. */
  begin(method: string, response: ServerResponse): void;
  sessionOpened(): void;
  sessionClosed(): void;
  snapshot(connections: { open: number; accepted: number }): FixtureStats;
}

export function createTraffic(): Traffic {
  const requests = new Map<string, number>();
  let total = 0;
  let sessionsOpened = 0;
  let sessionsClosed = 0;
  let concurrent = 0;
  let concurrentMax = 0;
  let aborted = 0;

  const count = (method: string): void => {
    total += 1;
    requests.set(method, (requests.get(method) ?? 0) + 1);
  };

  function ended(this: ServerResponse): void {
    concurrent -= 1;
    if (!this.writableFinished) aborted += 1;
  }

  return {
    count,
    begin(method, response) {
      count(method);
      concurrent += 1;
      if (concurrent > concurrentMax) concurrentMax = concurrent;
      response.once("close", ended);
    },
    sessionOpened: () => {
      sessionsOpened += 1;
    },
    sessionClosed: () => {
      sessionsClosed += 1;
    },
    snapshot: (connections) => ({
      requests: Object.fromEntries(requests),
      total,
      sessionsOpened,
      sessionsClosed,
      concurrent,
      concurrentMax,
      aborted,
      connections: connections.open,
      connectionsAccepted: connections.accepted,
    }),
  };
}
