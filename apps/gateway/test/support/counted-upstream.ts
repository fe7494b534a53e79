import { buildEchoServer, startSdkServer } from "@gatewright/mcp-fixtures";

type McpServer = ReturnType<typeof buildEchoServer>;

/** An echo server with sessions that notes when each method was asked for. */
export interface CountedUpstream {
  readonly url: string;
  /** The servers of all sessions, newest last. */
  readonly servers: McpServer[];
  /** Epoch milliseconds at which a method was asked for, oldest first. */
  times(method: string): number[];
  /** While true every request is answered by 503. */
  down: boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one. */
export async function startCountedUpstream(): Promise<CountedUpstream> {
  const seen: { readonly method: string; readonly at: number }[] = [];
  const servers: McpServer[] = [];
  let down = false;
  const note = async (request: Request) => {
    const at = Date.now();
    const text = await request.text();
    if (text !== "") seen.push({ method: String((JSON.parse(text) as { method?: unknown }).method), at });
  };
  const fixture = await startSdkServer(
    () => {
      const server = buildEchoServer();
      servers.push(server);
      return server;
    },
    {
      era: "legacy",
      guard: (request) => {
        if (down) return new Response("down", { status: 503 });
        if (request.method === "POST") void note(request.clone());
        return undefined;
      },
    },
  );
  return {
    url: fixture.url,
    servers,
    times: (method) => seen.filter((entry) => entry.method === method).map(({ at }) => at),
    get down() {
      return down;
    },
    set down(value) {
      down = value;
    },
    [Symbol.asyncDispose]: () => fixture.close(),
  };
}

/** Shortest time between two neighbours. */
export function closest(times: readonly number[]): number {
  const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  return Math.min(...gaps);
}
