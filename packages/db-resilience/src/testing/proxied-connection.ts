import type { Socket } from "node:net";
import { createDirectionPipe, type DirectionPipe } from "./direction-pipe.ts";
import type { CutMode, Direction, Faults } from "./faults.ts";

/** One client's connection through the proxy. */
export interface ProxiedConnection {
  update(faults: Faults): void;
  cut(mode: CutMode): void;
  /** Ends the other side and leaves the socket towards `side` open and silent. */
  leaveHalfOpen(side: "client" | "server"): void;
  destroy(): void;
}

/** What a connection reports to its proxy. */
export interface ConnectionContext {
  readonly random: () => number;
  forwarded(direction: Direction, bytes: number): void;
  cutDone(mode: CutMode): void;
  claimCut(direction: Direction, pattern: string): boolean;
  /** Both sockets are closed. */
  closed(): void;
}

/** Joins two sockets (the client's is connected, the server's may still be connecting). */
export function joinSockets(
  client: Socket,
  server: Socket,
  faults: Faults,
  context: ConnectionContext,
): ProxiedConnection {
  const sockets = [client, server];
  let answerCut: { readonly of: Direction; readonly mode: CutMode } | undefined;

  const pipeOf = (direction: Direction): DirectionPipe =>
    createDirectionPipe(
      {
        source: direction === "up" ? client : server,
        target: direction === "up" ? server : client,
        random: context.random,
        forwarded: (bytes) => context.forwarded(direction, bytes),
        cut,
        claimCut: (pattern) => context.claimCut(direction, pattern),
        cutAtAnswer: (mode) => {
          answerCut = { of: direction, mode };
        },
        intercept: () => {
          if (!answerCut || answerCut.of === direction) return false;
          cut(answerCut.mode);
          return true;
        },
      },
      faults[direction],
    );
  const swallow = () => {
    up.swallow();
    down.swallow();
  };
  function cut(mode: CutMode): void {
    context.cutDone(mode);
    if (mode === "blackhole") {
      swallow();
      return;
    }
    up.stop();
    down.stop();
    for (const socket of sockets) {
      if (mode === "rst") socket.resetAndDestroy();
      else socket.destroySoon();
    }
  }

  const up = pipeOf("up");
  const down = pipeOf("down");
  let open = sockets.length;
  for (const socket of sockets) {
    socket.setNoDelay(true);
    socket.once("close", () => {
      if (--open > 0) return;
      up.stop();
      down.stop();
      context.closed();
    });
  }

  return {
    update(next) {
      up.update(next.up);
      down.update(next.down);
    },
    cut,
    leaveHalfOpen(side) {
      swallow();
      (side === "client" ? server : client).destroy();
    },
    destroy() {
      up.stop();
      down.stop();
      for (const socket of sockets) socket.destroy();
    },
  };
}
