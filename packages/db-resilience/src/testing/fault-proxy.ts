import { connect, createServer, type Socket } from "node:net";
import { type ControlServer, startControlServer } from "./control-server.ts";
import { applyChange, type Direction, type FaultChange, type Faults, noFaults } from "./faults.ts";
import { joinSockets, type ProxiedConnection } from "./proxied-connection.ts";

/** A place to connect to. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Options of {@link createFaultProxy}. */
export interface FaultProxyOptions {
  /** The server behind the proxy. */
  readonly upstream: HostAndPort;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  /** Port to listen on; default 0, any free one. */
  readonly port?: number;
  /** Faults from the start; default none. */
  readonly faults?: FaultChange;
  /** Also serve the control API over HTTP, on this port (0: any free one); default off. */
  readonly controlPort?: number;
  /** Randomness of jitter and dropRatio, in [0, 1); default Math.random. */
  readonly random?: () => number;
}

/** Counters since the start. */
export interface FaultProxyStats {
  readonly connections: { readonly open: number; readonly total: number; readonly refused: number };
  readonly bytes: Readonly<Record<Direction, number>>;
  /** Connections that a fault or a command has cut. */
  readonly cuts: number;
}

/** A TCP proxy that misbehaves on demand. */
export interface FaultProxy {
  readonly host: string;
  readonly port: number;
  /** Where the HTTP control API listens, when it was asked for. */
  readonly controlUrl: string | undefined;
  readonly faults: Faults;
  /** Changes faults for connections old and new, at once; what is left out stays. Returns the new state. */
  set(change: FaultChange): Faults;
  /** Lifts all faults. Connections that were cut by silence or left half-open stay so. */
  heal(): void;
  /** Resets every open connection (RST to both sides). */
  resetConnections(): void;
  /** Ends every open connection in good order (FIN to both sides). */
  dropConnections(): void;
  /** Closes the far side of every open connection and leaves `side` with an open, silent socket. */
  leaveHalfOpen(side: "client" | "server"): void;
  /** Sends new connections elsewhere, as a changed DNS entry would. */
  setUpstream(upstream: HostAndPort): void;
  stats(): FaultProxyStats;
  /** Stops listening and destroys every socket; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a proxy in front of `upstream`. With a plain TCP proxy a blackholed SYN cannot be had: new connections
 * are accepted and then meet silence, which a client's connect deadline must cover as well.
 *
 * @throws ZodError for wrong faults; the listener's error when the port is taken.
 */
export async function createFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const random = options.random ?? Math.random;
  let faults = applyChange(noFaults, options.faults ?? {});
  let { upstream } = options;
  let usedCuts: Record<Direction, number> = { up: 0, down: 0 };
  let open = 0;
  const totals = { connections: 0, refused: 0, cuts: 0, up: 0, down: 0 };
  const connections = new Set<ProxiedConnection>();
  const hanging = new Set<Socket>();

  const accept = (client: Socket) => {
    totals.connections++;
    client.on("error", () => {}); // Every end of a socket is handled where it is piped.
    if (faults.connect === "reset" || (faults.dropRatio > 0 && random() < faults.dropRatio)) {
      totals.refused++;
      client.resetAndDestroy();
      return;
    }
    if (faults.connect === "hang") {
      totals.refused++;
      hanging.add(client);
      // Half-open sockets are allowed here: one whose client has gone would stay for ever.
      client.once("end", () => client.destroy());
      client.resume().once("close", () => hanging.delete(client));
      return;
    }
    const server = connect({ ...upstream, allowHalfOpen: true });
    server.on("error", () => {});
    open++;
    const connection = joinSockets(client, server, faults, {
      random,
      forwarded: (direction, bytes) => {
        totals[direction] += bytes;
      },
      cutDone: () => {
        totals.cuts++;
      },
      claimCut: (direction) => ++usedCuts[direction] <= (faults[direction].cutAt?.times ?? 0),
      closed: () => {
        open--;
        connections.delete(connection);
      },
    });
    connections.add(connection);
  };

  const listener = createServer({ allowHalfOpen: true }, accept);
  const host = options.host ?? "127.0.0.1";
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen({ port: options.port ?? 0, host }, resolve);
  });
  const address = listener.address();
  const port = typeof address === "object" && address ? address.port : 0;

  let control: ControlServer | undefined;
  let closed: Promise<void> | undefined;
  const apply = (next: Faults) => {
    if (next.up.cutAt !== faults.up.cutAt || next.down.cutAt !== faults.down.cutAt)
      usedCuts = { up: 0, down: 0 };
    faults = next;
    for (const connection of [...connections]) connection.update(faults);
    return faults;
  };
  const shutDown = async () => {
    const stopped = new Promise<void>((resolve) => listener.close(() => resolve()));
    for (const socket of hanging) socket.destroy();
    for (const connection of [...connections]) connection.destroy();
    await Promise.all([stopped, control?.close()]);
  };
  const close = () => {
    closed ??= shutDown();
    return closed;
  };

  const proxy: FaultProxy = {
    host,
    port,
    get controlUrl() {
      return control?.url;
    },
    get faults() {
      return faults;
    },
    set: (change) => apply(applyChange(faults, change)),
    heal: () => void apply(noFaults),
    resetConnections: () => {
      for (const connection of [...connections]) connection.cut("rst");
    },
    dropConnections: () => {
      for (const connection of [...connections]) connection.cut("fin");
    },
    leaveHalfOpen: (side) => {
      for (const connection of [...connections]) connection.leaveHalfOpen(side);
    },
    setUpstream: (next) => {
      upstream = next;
    },
    stats: () => ({
      connections: { open: open + hanging.size, total: totals.connections, refused: totals.refused },
      bytes: { up: totals.up, down: totals.down },
      cuts: totals.cuts,
    }),
    close,
    [Symbol.asyncDispose]: close,
  };
  if (options.controlPort !== undefined) control = await startControlServer(proxy, options.controlPort);
  return proxy;
}
