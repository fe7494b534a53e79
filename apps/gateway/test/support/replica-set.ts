import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, type Gateway, type RedisServer, startGateway } from "@gatewright/testkit";
import { type GatewayClient, gatewayClient, startTestGateway, type TestGateway } from "./test-gateway.ts";

/** Gateways that share a registry, a secret and a Redis. */
export interface ReplicaSet {
  readonly replicas: readonly TestGateway[];
  readonly dataDir: string;
  readonly secret: string;
  /** Starts one more. */
  add(config?: Record<string, unknown>): Promise<TestGateway>;
  /** Registers an upstream, and waits until every replica knows it; its id. */
  register(body: Record<string, unknown>): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Times short enough for tests. */
export const quickOwners = { heartbeatMs: 100, deadAfterMs: 700, connectTimeoutMs: 500, silenceMs: 2_000 };

/** Starts some in this process. */
export async function startReplicaSet(
  redis: RedisServer,
  count: number,
  config: Record<string, unknown> = {},
): Promise<ReplicaSet> {
  const dataDir = await mkdtemp(join(tmpdir(), "gatewright-replicas-"));
  const secret = "the secret that replicas of the tests share";
  await writeFile(join(dataDir, "secret"), secret, { mode: 0o600 });
  const replicas: TestGateway[] = [];
  const add = async (more: Record<string, unknown> = {}) => {
    const gateway = await startTestGateway(
      {
        redis: { url: redis.url },
        sessions: { owners: quickOwners },
        // What is listed in the background is not what these tests count.
        classifier: { enabled: false, refreshIntervalSeconds: 86_400 },
        ...config,
        ...more,
      },
      { dataDir },
    );
    replicas.push(gateway);
    return gateway;
  };
  for (let index = 0; index < count; index++) await add();
  return {
    replicas,
    dataDir,
    secret,
    add,
    async register(body) {
      const [first] = replicas;
      if (first === undefined) throw new Error("no replica");
      const answer = await first.rest("POST", "/gateways", body);
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      await eventually(() =>
        replicas.every(({ core }) => core.snapshots.current?.upstreams.has(answer.body.id)),
      );
      return answer.body.id;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(replicas.map((replica) => replica.close()));
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A replica of a set in a process of its own, which can be killed. */
export type ReplicaProcess = Gateway & GatewayClient;

/** Starts one more replica of a set as a process. */
export async function startReplicaProcess(
  redis: RedisServer,
  set: ReplicaSet,
  owners: Readonly<Record<string, number>> = quickOwners,
): Promise<ReplicaProcess> {
  const process = await startGateway({
    secret: set.secret,
    readyTimeoutMs: 60_000,
    config: { sessions: { owners }, classifier: { enabled: false, refreshIntervalSeconds: 86_400 } },
    env: {
      REDIS_URL: redis.url,
      AUTH_REQUIRED: "true",
      DATABASE_URL: `sqlite:${join(set.dataDir, "registry.db")}`,
    },
  });
  return Object.assign(process, gatewayClient(process.url, process.token));
}

/** A client's session, usable at any replica. */
export interface ClientSession {
  readonly id: string;
  /** Posts a request; of an answer that is a stream the body is its last message. */
  request(
    at: GatewayClient,
    method: string,
    params?: object,
    headers?: Record<string, string>,
  ): ReturnType<GatewayClient["rpc"]>;
  /** Calls a tool; its structured content. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  tool(at: GatewayClient, name: string, args?: object): Promise<any>;
  delete(at: GatewayClient, token?: string): Promise<number>;
}

let lastId = 0;

/** Shakes hands at a replica. */
export async function openSession(at: GatewayClient, path: string, token = at.token): Promise<ClientSession> {
  const authorization = `Bearer ${token}`;
  const hello = await at.rpc(
    path,
    {
      jsonrpc: "2.0",
      id: 0,
      method: "initialize",
      params: {
        protocolVersion: "2025-11-25",
        capabilities: {},
        clientInfo: { name: "test", version: "1" },
      },
    },
    { authorization },
  );
  const id = hello.headers.get("mcp-session-id");
  if (id === null) throw new Error(`no session: ${JSON.stringify(hello.body)}`);
  const own = { authorization, "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
  const session: ClientSession = {
    id,
    async request(gateway, method, params = {}, headers = {}) {
      const message = { jsonrpc: "2.0", id: ++lastId, method, params };
      const answer = await gateway.rpc(path, message, { ...own, ...headers });
      if (typeof answer.body !== "string" || answer.body === "") return answer;
      // Its last event; slow answers are streams.
      const data = answer.body.split("\n").findLast((line) => line.startsWith("data: {"));
      return { ...answer, body: JSON.parse(data?.slice(6) ?? "{}") };
    },
    async tool(gateway, name, args = {}) {
      const { body } = await session.request(gateway, "tools/call", { name, arguments: args });
      if (body.result === undefined) throw new Error(JSON.stringify(body));
      return body.result.structuredContent;
    },
    async delete(gateway, other = token) {
      const response = await fetch(`${gateway.url}${path}`, {
        method: "DELETE",
        headers: { ...own, authorization: `Bearer ${other}` },
      });
      await response.text();
      return response.status;
    },
  };
  return session;
}
