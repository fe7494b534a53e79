/*
 * Pools something that is not MCP: logged-in sessions of a small line protocol over TCP, which remember a cart per
 * session. Run it with `node --conditions=@gatewright/source examples/line-protocol.ts` in this folder.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface, type Interface } from "node:readline";
import { createSessionKeys, createSessionPool, type SessionFactory } from "@gatewright/session-pool";

/** A shop that wants a login and keeps a cart per connection: expensive to open, stateful, personal. */
const logins: string[] = [];
const shop = createServer((socket) => {
  const cart: string[] = [];
  createInterface({ input: socket }).on("line", (line) => {
    const [command, word = ""] = line.split(" ");
    if (command === "LOGIN") logins.push(word);
    if (command === "ADD") cart.push(word);
    socket.write(`${command === "SHOW" ? cart.join(",") : "OK"}\n`);
  });
});
shop.listen(0, "127.0.0.1");
await once(shop, "listening");
const { port } = shop.address() as { port: number };

/** A client: one question, one answer. */
interface ShopSession {
  readonly socket: Socket;
  readonly lines: Interface;
}

async function ask({ socket, lines }: ShopSession, line: string): Promise<string> {
  socket.write(`${line}\n`);
  const [answer] = await once(lines, "line");
  return String(answer);
}

const factory: SessionFactory<ShopSession, { user: string }> = {
  async connect(_key, { signal, context }) {
    const socket = connect({ port, host: "127.0.0.1", signal });
    await once(socket, "connect");
    const session = { socket, lines: createInterface({ input: socket }) };
    await ask(session, `LOGIN ${context?.user}`);
    return session;
  },
  async close({ socket }) {
    socket.end();
    await once(socket, "close");
  },
  onLost({ socket }, lost) {
    socket.once("close", lost);
    return () => void socket.off("close", lost);
  },
};

const keys = createSessionKeys({ secret: "one secret per deployment, 32 bytes or more" });
const pool = createSessionPool({}, { factory });

/** One visit of a browser: its cart lives in the upstream session, which nobody else ever gets. */
async function shopping(user: string, visit: string, line: string): Promise<string> {
  const key = keys.downstream({ id: "shop" }, { principal: user, downstreamSessionId: visit });
  return pool.run(key, (session) => ask(session, line), { context: { user } });
}

await shopping("ann", "laptop", "ADD pears");
await shopping("ann", "phone", "ADD plums");
await shopping("ann", "laptop", "ADD quinces");
console.log(`laptop: ${await shopping("ann", "laptop", "SHOW")}`);
console.log(`phone:  ${await shopping("ann", "phone", "SHOW")}`);
console.log(`logins: ${logins.length} for ${pool.stats().hits + pool.stats().misses} calls`);

await pool.close();
shop.close();
