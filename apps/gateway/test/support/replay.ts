import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A JSON-RPC message to send. */
export type Json = Record<string, unknown>;

/** What came back for one body: the messages as the text they came as, and over HTTP how they came. */
export interface Replayed {
  readonly texts: readonly string[];
  readonly status?: number;
  readonly contentType?: string;
}

const hello: Json = {
  jsonrpc: "2.0",
  id: "hello",
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "replay", version: "1" } },
};
const ready: Json = { jsonrpc: "2.0", method: "notifications/initialized" };

/** Opens a session over streamable HTTP and replays the bodies one by one; the handshake's answer comes first. */
export async function replayHttp(
  url: string,
  headers: Record<string, string>,
  bodies: readonly Json[],
): Promise<Replayed[]> {
  const session: Record<string, string> = {};
  const send = async (body: Json): Promise<Replayed> => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...headers,
        ...session,
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    const contentType = response.headers.get("content-type") ?? "";
    const id = response.headers.get("mcp-session-id");
    if (id !== null) session["mcp-session-id"] = id;
    const streamed = text.split("\n").filter((line) => line.startsWith("data: {"));
    const texts = contentType.includes("event-stream") ? streamed.map((line) => line.slice(6)) : [text];
    return { texts, status: response.status, contentType };
  };
  const answers = [await send(hello)];
  session["mcp-protocol-version"] = "2025-11-25";
  await send(ready);
  for (const body of bodies) answers.push(await send(body));
  return answers;
}

/** The same over the stdin and stdout of a program. */
export async function replayStdio(
  program: { readonly command: string; readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv },
  bodies: readonly Json[],
): Promise<Replayed[]> {
  const child = spawn(program.command, program.args, {
    env: program.env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const send = async (body: Json): Promise<Replayed> => {
    child.stdin.write(`${JSON.stringify(body)}\n`);
    const texts: string[] = [];
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the program ended at ${JSON.stringify(body)}`);
      texts.push(value);
      if ((JSON.parse(value) as Json)["id"] === body["id"]) return { texts };
    }
  };
  try {
    const answers = [await send(hello)];
    child.stdin.write(`${JSON.stringify(ready)}\n`);
    for (const body of bodies) answers.push(await send(body));
    return answers;
  } finally {
    child.kill("SIGKILL");
  }
}
