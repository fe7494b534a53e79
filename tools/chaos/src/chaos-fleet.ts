import { join } from "node:path";
import { createFaultProxy, type FaultProxy } from "@gatewright/db-resilience/testing";
import {
  type Balancer,
  eventually,
  type Gateway,
  type RedisServer,
  startBalancer,
  startGateway,
  startRedis,
} from "@gatewright/testkit";

/** Replicas of a gateway behind a balancer; each is reached by the others through a proxy that can be made to fail. */
export interface ChaosFleet {
  readonly redis: RedisServer;
  readonly replicas: readonly Gateway[];
  /** The way of the other replicas to each replica. */
  readonly ways: readonly FaultProxy[];
  readonly balancer: Balancer;
  /** Path of the upstream's virtual server. */
  readonly path: string;
  /** The names of the sessions that a replica holds, by its own account. */
  sessionsAt(index: number): Promise<ReadonlySet<string>>;
  /** Sets the credentials of the upstream, at a replica that answers. */
  setToken(token: string): Promise<void>;
  close(): Promise<void>;
}

/** Times of ownership, in the proportions of the defaults. Milliseconds. */
export interface OwnerTimes {
  readonly heartbeatMs: number;
  readonly deadAfterMs: number;
  readonly silenceMs: number;
}

/** Starts everything. */
export async function startChaosFleet(
  count: number,
  upstream: { readonly url: string; readonly token: string },
  owners: OwnerTimes,
): Promise<ChaosFleet> {
  const redis = await startRedis();
  const ways: FaultProxy[] = [];
  const replicas: Gateway[] = [];
  const close = async () => {
    await Promise.all(replicas.map((replica) => replica.close()));
    await Promise.all(ways.map((way) => way.close()));
    await redis.close();
  };
  try {
    for (let index = 0; index < count; index++) {
      const way = await createFaultProxy({ upstream: { host: "127.0.0.1", port: 1 } });
      ways.push(way);
      const [first] = replicas;
      const database = first && join(first.dataDirectory, "data", "registry.db");
      const replica = await startGateway({
        readyTimeoutMs: 120_000,
        config: {
          sessions: { owners: { ...owners, connectTimeoutMs: 1_000 }, breakerResetMs: 1_000 },
          server: { replicaUrl: `http://127.0.0.1:${way.port}`, drainNoticeMs: 0 },
        },
        env: {
          REDIS_URL: redis.url,
          AUTH_REQUIRED: "true",
          LOG_LEVEL: "warn",
          ...(database === undefined ? {} : { DATABASE_URL: `sqlite:${database}` }),
        },
      });
      replicas.push(replica);
      way.setUpstream({ host: "127.0.0.1", port: replica.port });
    }
    const admin = async (method: string, path: string, body: object) => {
      let refusal: unknown = new Error("no replica answers");
      for (const { url, token } of replicas) {
        try {
          const response = await fetch(`${url}${path}`, {
            method,
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            body: JSON.stringify(body),
          });
          const text = await response.text();
          if (response.ok) return JSON.parse(text) as { readonly id: string };
          refusal = new Error(`${method} ${path}: ${response.status} ${text}`);
        } catch (error) {
          refusal = error;
        }
      }
      throw refusal;
    };
    const auth = (token: string) => ({ auth: { type: "bearer", token } });
    const { id } = await admin("POST", "/gateways", {
      name: "counter",
      url: upstream.url,
      ...auth(upstream.token),
    });
    const path = `/servers/${id}/mcp`;
    // Other replicas see a new upstream by their next look at the registry.
    await eventually(
      async () => {
        const found = await Promise.all(
          replicas.map(({ url, token }) =>
            fetch(`${url}${path}`, { method: "DELETE", headers: { authorization: `Bearer ${token}` } }),
          ),
        );
        return found.every(({ status }) => status === 400);
      },
      { timeoutMs: 20_000 },
    );
    const balancer = await startBalancer(replicas.map(({ url }) => url));
    return {
      redis,
      replicas,
      ways,
      balancer,
      path,
      async sessionsAt(index) {
        const { url, token } = replicas[index] ?? { url: "", token: "" };
        const headers = { authorization: `Bearer ${token}` };
        const response = await fetch(`${url}/admin/sessions`, { headers });
        const { owned } = (await response.json()) as { owned: readonly { readonly session: string }[] };
        return new Set(owned.map(({ session }) => session));
      },
      setToken: async (token) => void (await admin("PATCH", `/gateways/${id}`, auth(token))),
      async close() {
        await balancer.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
