import { once } from "node:events";
import { WebSocket } from "ws";
import type { Outcome } from "./recorder.ts";

/** Sockets that are open, and what became of them. */
export interface Sockets {
  /** Sends a small call over one of them; `done` once with what came of it. */
  call(index: number, done: (outcome: Outcome) => void): void;
  /** How many closed before `close`. */
  readonly drops: number;
  close(): void;
}

/** Opens WebSockets, the tokens in turn. */
export async function openSockets(url: string, count: number, tokens: readonly string[]): Promise<Sockets> {
  const waiting = new Map<number, (outcome: Outcome) => void>();
  const sockets: WebSocket[] = [];
  let drops = 0;
  let closing = false;
  for (let index = 0; index < count; index += 1) {
    const headers = { authorization: `Bearer ${tokens[index % tokens.length]}` };
    const socket = new WebSocket(url, { headers });
    socket.on("message", (data) => {
      const { id, result } = JSON.parse(data.toString()) as { id: number; result?: unknown };
      waiting.get(id)?.(result === undefined ? "error" : "ok");
      waiting.delete(id);
    });
    await once(socket, "open");
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (!closing) drops += 1;
    });
    sockets.push(socket);
  }
  const params = { name: "echo", arguments: { text: "a small call" } };
  return {
    call(id, done) {
      waiting.set(id, done);
      sockets[id % count]?.send(JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params }));
    },
    get drops() {
      return drops;
    },
    close() {
      closing = true;
      for (const socket of sockets) socket.terminate();
    },
  };
}
