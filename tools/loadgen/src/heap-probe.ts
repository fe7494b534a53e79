import type { Spawned } from "./spawned.ts";

/** A process's JavaScript heap, after a full garbage collection. */
export interface HeapReading {
  readonly usedBytes: number;
  readonly totalBytes: number;
}

interface Reply {
  readonly id: number;
  readonly result?: { readonly usedSize?: number; readonly totalSize?: number };
  readonly error?: { readonly message: string };
}

const ANSWER_MS = 30_000;

function commandsOn(socket: WebSocket): (method: string) => Promise<NonNullable<Reply["result"]>> {
  let lastId = 0;
  return (method) =>
    new Promise((resolve, reject) => {
      lastId += 1;
      const id = lastId;
      const timer = setTimeout(() => reject(new Error(`the inspector did not answer ${method}`)), ANSWER_MS);
      const listen = (event: MessageEvent): void => {
        const reply = JSON.parse(String(event.data)) as Reply;
        if (reply.id !== id) return;
        clearTimeout(timer);
        socket.removeEventListener("message", listen);
        if (reply.error) reject(new Error(`${method}: ${reply.error.message}`));
        else resolve(reply.result ?? {});
      };
      socket.addEventListener("message", listen);
      socket.send(JSON.stringify({ id, method }));
    });
}

/**
 * Reads the heap of a node process that was started with `--inspect-port=127.0.0.1:0`. SIGUSR1 makes any node
 * process open its inspector (a documented signal of node, so the process under test needs no code for it), and the
 * DevTools protocol collects garbage and tells the heap's size.
 */
export async function readHeap(process: Spawned): Promise<HeapReading> {
  process.signal("SIGUSR1");
  const [, address = ""] = await process.waitFor(/Debugger listening on (ws:\/\/\S+)/, 5_000);
  const socket = new WebSocket(address);
  try {
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", () => reject(new Error(`no inspector at ${address}`)), { once: true });
    });
    const send = commandsOn(socket);
    // Twice: finalizers of the first round free what the second one collects.
    await send("HeapProfiler.collectGarbage");
    await send("HeapProfiler.collectGarbage");
    const { usedSize = 0, totalSize = 0 } = await send("Runtime.getHeapUsage");
    return { usedBytes: usedSize, totalBytes: totalSize };
  } finally {
    socket.close();
  }
}
