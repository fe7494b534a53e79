import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { eventually } from "@gatewright/testkit";
import { expect, it, onTestFinished } from "vitest";
import { readForward } from "../src/replicas/read-forward.ts";
import { hello, openSocket } from "./support/socket-client.ts";
import { startTestGateway } from "./support/test-gateway.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const megabyte = 1_048_576;

/** Bytes that this process holds, once what nobody needs is gone. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Begins a request whose body is `count` spaces, each in a chunk of its own, and waits until all of them were read. */
async function sendSpaces(server: Server, path: string, count: number, token = ""): Promise<Socket> {
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  const head = [
    `POST ${path} HTTP/1.1`,
    "host: 127.0.0.1",
    `authorization: Bearer ${token}`,
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    "transfer-encoding: chunked",
  ];
  const text = `${head.join("\r\n")}\r\n\r\n${"1\r\n \r\n".repeat(count)}`;
  socket.write(text);
  const [read] = await accepted;
  await eventually(() => read.bytesRead === text.length, { timeoutMs: 30_000 });
  return socket;
}

it.each(["/mcp/http", "/mcp", "/gateways"])(
  "a body in chunks of one byte takes a few bytes for each: %s",
  async (path) => {
    await using gateway = await startTestGateway();
    const before = heldBytes();
    const socket = await sendSpaces(gateway.app.server, path, 300_000, gateway.token);
    expect(heldBytes() - before).toBeLessThan(20 * megabyte);
    const answered = once(socket, "data") as Promise<[Buffer]>;
    socket.write("2\r\n{}\r\n0\r\n\r\n");
    expect((await answered)[0].toString("latin1")).toMatch(
      path === "/gateways" ? /^HTTP\/1.1 422 / : /^HTTP\/1.1 400 /,
    );
  },
);

it("so does what a stranger sends where only replicas may", async () => {
  const server = createServer((request) => {
    readForward(request, { maxBodyBytes: megabyte, judge: () => "stranger" }).catch(() => undefined);
  });
  server.listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const before = heldBytes();
  await sendSpaces(server, "/", 260_000);
  expect(heldBytes() - before).toBeLessThan(16 * megabyte);
});

it("a WebSocket ends whose message comes in more frames than any client needs", async () => {
  await using gateway = await startTestGateway();
  await using client = await openSocket(gateway);
  await client.ask(hello());
  for (let frame = 0; frame < 5_000; frame++) client.socket.send(" ", { fin: false });
  expect((await client.closed).code).toBe(1008);
});
