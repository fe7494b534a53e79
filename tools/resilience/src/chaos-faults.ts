import {
  eventually,
  type PostgresServer,
  type PostgresStandby,
  startPostgresStandby,
} from "@gatewright/testkit";
import type { Replica } from "./replica.ts";
import type { Stage } from "./stage.ts";

/** A server and its place in the URL of the replicas. */
interface Seat {
  readonly server: PostgresServer;
  readonly place: number;
}

/** The faults of the chaos run, by name. Each one ends with the servers running; lines are healed by the caller. */
export interface ChaosFaults {
  readonly names: readonly string[];
  run(name: string): Promise<void>;
  /** The server that takes writes now. */
  readonly primary: PostgresServer;
  /** Replicas that are stopped at the moment. */
  readonly stopped: ReadonlySet<Replica>;
  readonly failovers: number;
  close(): Promise<void>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Makes faults on a stage with a pair. */
export function createChaosFaults(stage: Stage, random: () => number): ChaosFaults {
  if (stage.standby === undefined) throw new Error("the stage has no standby");
  let primary: Seat = { server: stage.primary, place: 0 };
  let standby: Seat & { readonly server: PostgresStandby } = { server: stage.standby, place: 1 };
  const made: PostgresServer[] = [];
  const stopped = new Set<Replica>();
  let failovers = 0;
  const some = () => 300 + random() * 1_200;
  const oneReplica = () => stage.replicas[Math.floor(random() * stage.replicas.length)] as Replica;
  const line = ({ proxies }: Replica) => proxies[primary.place];

  const faults: Readonly<Record<string, () => Promise<void>>> = {
    async restart() {
      await primary.server.restart();
    },
    async kill() {
      await primary.server.kill();
      await pause(200);
      await primary.server.restart();
    },
    async failover() {
      const old = primary;
      await old.server.kill();
      await standby.server.promote();
      primary = standby;
      failovers++;
      // A new standby takes the place of the server that is gone.
      const fresh = await startPostgresStandby(primary.server, { name: `standby${failovers + 1}` });
      made.push(fresh);
      await waitFor(primary.server);
      stage.replace(old.place, fresh);
      standby = { server: fresh, place: old.place };
      await old.server.close();
    },
    async cutAtCommit() {
      const position = random() < 0.5 ? "before" : "after";
      const mode = (["rst", "fin", "blackhole"] as const)[Math.floor(random() * 3)] ?? "rst";
      stage.fault({ up: { cutAt: { pattern: "commit", position, mode, times: 3 } } }, primary.place);
      await pause(500);
    },
    async blackhole() {
      stage.fault({ both: { blackhole: true } }, primary.place);
      await pause(some());
    },
    async blackholeOne() {
      line(oneReplica())?.set({ both: { blackhole: true } });
      await pause(some());
    },
    async reset() {
      for (const replica of stage.replicas) line(replica)?.resetConnections();
    },
    async halfOpen() {
      line(oneReplica())?.leaveHalfOpen("client");
    },
    async stopReplica() {
      const replica = oneReplica();
      stopped.add(replica);
      replica.gateway.pause();
      await pause(some());
      replica.gateway.resume();
      await pause(200);
      stopped.delete(replica);
    },
    async stopServer() {
      primary.server.pause();
      await pause(some());
      primary.server.resume();
    },
    async latency() {
      stage.fault({ both: { latencyMs: 100, jitterMs: 100 } }, primary.place);
      await pause(500);
    },
    async terminate() {
      await primary.server.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'replica%'",
      );
    },
  };
  return {
    names: Object.keys(faults),
    run: async (name) => faults[name]?.(),
    get primary() {
      return primary.server;
    },
    stopped,
    get failovers() {
      return failovers;
    },
    async close() {
      await Promise.all(made.map((server) => server.close()));
    },
  };
}

/** Commits wait for the standby from now on. */
async function waitFor(primary: PostgresServer): Promise<void> {
  await primary.query("alter system set synchronous_standby_names = '*'");
  await primary.query("select pg_reload_conf()");
  await eventually(async () => {
    const rows = await primary.query("select 1 from pg_stat_replication where sync_state = 'sync'");
    return rows.length === 1;
  });
}
