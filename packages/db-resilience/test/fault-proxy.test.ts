import { connect, createServer, type Server, type Socket } from "node:net";
import { eventually } from "@gatewright/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFaultProxy, type FaultProxy } from "../src/testing/index.ts";

/** An echo server that keeps what it received and how its sockets ended. */
interface Upstream {
  server: Server;
  port: number;
  received: string;
  sockets: Set<Socket>;
  ends: string[];
}

async function startUpstream(): Promise<Upstream> {
  const upstream: Upstream = { server: createServer(), port: 0, received: "", sockets: new Set(), ends: [] };
  upstream.server.on("connection", (socket) => {
    upstream.sockets.add(socket);
    socket.on("data", (data) => {
      upstream.received += data;
      socket.write(data);
    });
    socket.on("end", () => upstream.ends.push("fin"));
    socket.on("error", () => upstream.ends.push("rst"));
    socket.on("close", () => upstream.sockets.delete(socket));
  });
  await new Promise<void>((resolve) => upstream.server.listen(0, "127.0.0.1", resolve));
  upstream.port = (upstream.server.address() as { port: number }).port;
  return upstream;
}

/** A client that keeps what it received and how its socket ended. */
interface Client {
  socket: Socket;
  received: string;
  end: string | undefined;
}

async function openClient(port: number): Promise<Client> {
  const client: Client = { socket: connect(port, "127.0.0.1"), received: "", end: undefined };
  client.socket.on("data", (data) => {
    client.received += data;
  });
  client.socket.on("end", () => {
    client.end ??= "fin";
  });
  client.socket.on("error", () => {
    client.end ??= "rst";
  });
  // A reset right after the handshake can be reported in place of the connection.
  await new Promise((resolve) => client.socket.once("connect", resolve).once("close", resolve));
  return client;
}

let upstream: Upstream;
let proxy: FaultProxy;
const clients: Client[] = [];

beforeEach(async () => {
  upstream = await startUpstream();
  proxy = await createFaultProxy({ upstream: { host: "127.0.0.1", port: upstream.port }, controlPort: 0 });
});

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  for (const socket of upstream.sockets) socket.destroy();
  upstream.server.close();
});

async function open(): Promise<Client> {
  const client = await openClient(proxy.port);
  clients.push(client);
  return client;
}

/** A client that has had one echo, so that the whole path stands. */
async function openAndEcho(): Promise<Client> {
  const client = await open();
  client.socket.write("hello");
  await eventually(() => client.received === "hello");
  return client;
}

/** Lets two turns through the kernel pass for things that must not arrive. */
async function settle(): Promise<void> {
  const other = await openClient(upstream.port);
  other.socket.write("ping");
  await eventually(() => other.received === "ping");
  other.socket.destroy();
}

describe("createFaultProxy", () => {
  it("forwards bytes, ends and counts", async () => {
    const client = await openAndEcho();
    client.socket.end();
    await eventually(() => upstream.ends.includes("fin") && client.end === "fin");
    await eventually(() => proxy.stats().connections.open === 0);
    expect(proxy.stats()).toEqual({
      connections: { open: 0, total: 1, refused: 0 },
      bytes: { up: 5, down: 5 },
      cuts: 0,
    });
  });

  it("forwards megabytes unchanged and in order, with jitter between the chunks", async () => {
    proxy.set({ both: { latencyMs: 2, jitterMs: 2 } });
    const client = await open();
    const text = Array.from({ length: 200_000 }, (_, i) => String(i)).join(",");
    client.socket.write(text);
    await eventually(() => client.received.length === text.length);
    expect(client.received === text).toBe(true);
  });

  it("delays each direction by its own latency", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { latencyMs: 120 }, down: { latencyMs: 80 } });
    const start = performance.now();
    client.socket.write("again");
    await eventually(() => upstream.received === "helloagain");
    expect(performance.now() - start).toBeGreaterThan(110);
    await eventually(() => client.received === "helloagain");
    expect(performance.now() - start).toBeGreaterThan(190);
  });

  it("keeps to the bandwidth", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { bytesPerSecond: 10_000 } });
    const start = performance.now();
    client.socket.write("x".repeat(3_000));
    await eventually(() => upstream.received.length === 3_005);
    expect(performance.now() - start).toBeGreaterThan(230);
  });

  it("blackholes one direction: nothing arrives, the other direction works, healing delivers", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { blackhole: true } });
    client.socket.write("lost?");
    for (const socket of upstream.sockets) socket.write("from above");
    await eventually(() => client.received === "hellofrom above");
    expect(upstream.received).toBe("hello");
    proxy.heal();
    await eventually(() => upstream.received === "hellolost?");
  });

  it("blackholes idle sockets both ways: no end and no reset gets through until it is healed", async () => {
    const client = await openAndEcho();
    const other = await openAndEcho();
    proxy.set({ both: { blackhole: true } });
    client.socket.resetAndDestroy();
    for (const socket of upstream.sockets) socket.end();
    await settle();
    expect(upstream.ends).toEqual([]);
    expect(other.end).toBeUndefined();
    const silent = await open();
    silent.socket.write("anybody?");
    await settle();
    expect(upstream.received).not.toContain("anybody?");
    proxy.heal();
    await eventually(() => other.end === "fin" && upstream.received.endsWith("anybody?"));
  });

  it("holds at most a bounded amount while blackholed", async () => {
    const client = await openAndEcho();
    proxy.set({ both: { blackhole: true } });
    let written = 0;
    while (written < 64 && client.socket.write("x".repeat(1 << 20))) written++;
    expect(client.socket.writableLength).toBeGreaterThan(0);
    expect(proxy.stats().bytes.up).toBe(5);
  });

  it("cuts after exactly N bytes, by reset", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { cutAfterBytes: 4 } });
    client.socket.write("abcdefgh");
    await eventually(() => client.end === "rst" && upstream.ends.includes("rst"));
    expect(upstream.received).toBe("helloabcd");
    expect(proxy.stats().cuts).toBe(1);
  });

  it("cuts after N bytes by an orderly end or by silence", async () => {
    const ordered = await openAndEcho();
    proxy.set({ down: { cutAfterBytes: 2, cutMode: "fin" } });
    ordered.socket.write("abc");
    await eventually(() => ordered.end === "fin");
    expect(ordered.received).toBe("helloab");

    proxy.heal();
    const silent = await openAndEcho();
    proxy.set({ down: { cutAfterBytes: 2, cutMode: "blackhole" } });
    silent.socket.write("abc");
    await eventually(() => silent.received === "helloab");
    silent.socket.write("def");
    await settle();
    expect(silent.received).toBe("helloab");
    expect(silent.end).toBeUndefined();
  });

  it("cuts before a text, which may be split over chunks, and only as often as told", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { cutAt: { pattern: "COMMIT", position: "before" } } });
    client.socket.write("co");
    await eventually(() => upstream.received === "helloco");
    client.socket.write("mmit");
    await eventually(() => client.end === "rst");
    expect(upstream.received).toBe("helloco");
    const next = await openAndEcho();
    next.socket.write("commit");
    await eventually(() => next.received === "hellocommit");
  });

  it("cuts after a text: the server gets it, the client never sees the answer", async () => {
    const client = await openAndEcho();
    proxy.set({ up: { cutAt: { pattern: "commit" } } });
    client.socket.write("COMMIT");
    await eventually(() => client.end === "rst");
    expect(upstream.received).toBe("helloCOMMIT");
    expect(client.received).toBe("hello");
  });

  it("leaves the client with an open, silent socket whose server is gone, and the other way round", async () => {
    const client = await openAndEcho();
    proxy.leaveHalfOpen("client");
    await eventually(() => upstream.sockets.size === 0);
    client.socket.write("hello?");
    await settle();
    expect(client.end).toBeUndefined();

    const second = await openAndEcho();
    proxy.leaveHalfOpen("server");
    await eventually(() => second.end !== undefined);
    expect(upstream.sockets.size).toBe(1);
  });

  it("resets or drops all open connections on command", async () => {
    const first = await openAndEcho();
    proxy.resetConnections();
    await eventually(() => first.end === "rst");
    const second = await openAndEcho();
    proxy.dropConnections();
    await eventually(() => second.end === "fin");
    expect(proxy.stats().cuts).toBe(2);
  });

  it("resets new connections, drops a share of them, or lets them hang", async () => {
    proxy.set({ connect: "reset" });
    const refused = await open();
    await eventually(() => refused.end === "rst");
    proxy.set({ connect: "forward", dropRatio: 1 });
    const dropped = await open();
    await eventually(() => dropped.end === "rst");
    proxy.set({ connect: "hang", dropRatio: 0 });
    const hanging = await open();
    hanging.socket.write("hello?");
    await settle();
    expect(hanging.end).toBeUndefined();
    expect(upstream.received).not.toContain("hello?");
    expect(proxy.stats().connections).toMatchObject({ total: 3, refused: 3 });
  });

  it("resets its client when the server refuses, and follows a new upstream", async () => {
    const second = await startUpstream();
    const gone = upstream.port;
    upstream.server.close();
    proxy.setUpstream({ host: "127.0.0.1", port: gone });
    const client = await open();
    await eventually(() => client.end === "rst");
    proxy.setUpstream({ host: "127.0.0.1", port: second.port });
    await openAndEcho();
    expect(second.received).toBe("hello");
    for (const socket of second.sockets) socket.destroy();
    second.server.close();
  });

  it("refuses unknown faults", () => {
    expect(() => proxy.set({ up: { latency: 5 } as never })).toThrow(/latency/);
    expect(() => proxy.set({ dropRatio: 2 })).toThrow();
  });

  it("closes everything, twice if need be", async () => {
    const client = await openAndEcho();
    proxy.set({ both: { blackhole: true } });
    await Promise.all([proxy.close(), proxy.close()]);
    await eventually(() => client.socket.closed && upstream.sockets.size === 0);
    await expect(fetch(`${proxy.controlUrl}/`)).rejects.toThrow();
  });
});

describe("the HTTP control API", () => {
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(proxy.controlUrl + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, never> };
  };

  it("shows, changes and lifts faults", async () => {
    expect((await call("PATCH", "/faults", { both: { latencyMs: 30 } })).body).toMatchObject({
      faults: { up: { latencyMs: 30 }, down: { latencyMs: 30 } },
    });
    expect((await call("GET", "/")).body).toMatchObject({ stats: { cuts: 0 } });
    await call("DELETE", "/faults");
    expect(proxy.faults.up.latencyMs).toBe(0);
  });

  it("cuts connections and moves the upstream", async () => {
    const first = await openAndEcho();
    await call("POST", "/connections/reset");
    await eventually(() => first.end === "rst");
    const second = await openAndEcho();
    await call("POST", "/connections/drop");
    await eventually(() => second.end === "fin");
    const third = await openAndEcho();
    await call("POST", "/connections/half-open", { side: "server" });
    await eventually(() => third.end !== undefined);
    expect((await call("PUT", "/upstream", { host: "127.0.0.1", port: upstream.port })).status).toBe(200);
  });

  it("answers 404 and 422 to what it does not understand", async () => {
    expect((await call("GET", "/nowhere")).status).toBe(404);
    expect((await call("PATCH", "/faults", { bothh: {} })).status).toBe(422);
    expect((await call("POST", "/connections/half-open", { side: "left" })).status).toBe(422);
    const broken = await fetch(`${proxy.controlUrl}/faults`, { method: "PATCH", body: "{" });
    expect(broken.status).toBe(422);
    const long = await fetch(`${proxy.controlUrl}/faults`, { method: "PATCH", body: " ".repeat(70_000) });
    expect(long.status).toBe(422);
  });
});
