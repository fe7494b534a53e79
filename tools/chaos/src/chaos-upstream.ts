import { buildCounterServer, type Ledger, type SdkFixture, startSdkServer } from "@gatewright/mcp-fixtures";

/** One execution of `add`, as the upstream did it. */
export interface Execution {
  readonly key: string;
  /** Session of the upstream. */
  readonly session: string;
  readonly amount: number;
  /** What the session's number was afterwards. */
  readonly value: number;
}

/** A counter with sessions that can be killed, comes back on its port, and asks for a token that changes. */
export interface ChaosUpstream {
  readonly url: string;
  /** What was executed, by the key of the call. */
  readonly executions: ReadonlyMap<string, readonly Execution[]>;
  /** The token that it takes. */
  readonly token: string;
  /** Takes this token from now on, and the one before until `retire` is called. */
  rotate(token: string): () => void;
  /** Ends it with all its sessions. */
  kill(): Promise<void>;
  /** Brings it back, without any session. */
  revive(): Promise<void>;
  close(): Promise<void>;
}

/** Starts one. */
export async function startChaosUpstream(token: string): Promise<ChaosUpstream> {
  const executions = new Map<string, Execution[]>();
  const values = new Map<string, number>();
  const record: Ledger["record"] = ({ key, session, amount }) => {
    const value = (values.get(session) ?? 0) + amount;
    values.set(session, value);
    const known = executions.get(key);
    const execution = { key, session, amount, value };
    if (known === undefined) executions.set(key, [execution]);
    else known.push(execution);
  };
  const unused = () => {
    throw new Error("this ledger is read by its executions");
  };
  const ledger: Ledger = { record, executions: unused, duplicates: unused, totals: unused, entries: unused };
  const accepted = new Set([token]);
  let current = token;
  const start = (port: number) =>
    startSdkServer(({ sessionId }) => buildCounterServer(ledger, sessionId ?? "none"), {
      era: "legacy",
      port,
      guard: (request) => {
        const shown = request.headers.get("authorization")?.slice("Bearer ".length) ?? "";
        return accepted.has(shown) ? undefined : new Response("unauthorized", { status: 401 });
      },
    });
  let server: SdkFixture | undefined = await start(0);
  const { url } = server;
  const port = Number(new URL(url).port);
  const kill = async () => {
    const dying = server;
    server = undefined;
    await dying?.close();
  };
  return {
    url,
    executions,
    get token() {
      return current;
    },
    rotate(next) {
      const before = current;
      current = next;
      accepted.add(next);
      return () => accepted.delete(before);
    },
    kill,
    async revive() {
      server ??= await start(port);
    },
    close: kill,
  };
}
