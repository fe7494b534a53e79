import { createServer, type Server } from "node:net";
import { reservePort } from "@gatewright/testkit";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { holdPort, sharesPort } from "../src/workers/shared-port.ts";

const opened: Server[] = [];
afterEach(() => {
  for (const server of opened.splice(0)) server.close();
});

function listen(port: number, reusePort = false): Promise<Server> {
  const server = createServer();
  opened.push(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port, exclusive: true, reusePort }, () => resolve(server));
  });
}

async function freePort(): Promise<number> {
  const { port, release } = await reservePort();
  onTestFinished(release);
  return port;
}

// Elsewhere workers do not share a port by themselves.
describe.runIf(sharesPort({ port: 1 }))("the port of several workers", () => {
  it("of two primaries that start at the same moment one gets it, and the other when that is gone", async () => {
    const port = await freePort();
    const both = await Promise.allSettled(["127.0.0.1", "localhost"].map((host) => holdPort({ host, port })));
    const held = both.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const refused = both.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect([held.length, refused.length]).toEqual([1, 1]);
    expect(refused[0]).toMatchObject({ code: "conflict", message: expect.stringContaining("is in use") });
    // Its workers do not listen yet, and do so now.
    await expect(holdPort({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "conflict" });
    const worker = await listen(port, true);
    await expect(holdPort({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "conflict" });
    worker.close();
    held[0]?.();
    const letGo = await holdPort({ host: "127.0.0.1", port });
    letGo();
  });

  it.each([
    ["0.0.0.0", "127.0.0.1"],
    ["127.0.0.1", "0.0.0.0"],
    ["127.0.0.1", "::"],
  ])("is one's with all addresses and with one of them: %s, then %s", async (first, second) => {
    const port = await freePort();
    // No worker listens yet, so that the kernel has nothing to refuse.
    const letGo = await holdPort({ host: first, port });
    await expect(holdPort({ host: second, port })).rejects.toMatchObject({ code: "conflict" });
    letGo();
    (await holdPort({ host: first, port }))();
  });

  it("is not one's with one address only: each of two addresses may have its own gateway", async () => {
    const port = await freePort();
    const letGo = await Promise.all(["127.0.0.1", "127.0.0.2"].map((host) => holdPort({ host, port })));
    for (const free of letGo) free();
  });

  it("of two primaries that start at the same moment, one of them on all addresses, one gets it", async () => {
    const port = await freePort();
    const both = await Promise.allSettled(["0.0.0.0", "127.0.0.1"].map((host) => holdPort({ host, port })));
    const held = both.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(held).toHaveLength(1);
    held[0]?.();
  });

  it("is waited for while workers of a primary that was killed still have it, but not for long", async () => {
    const port = await freePort();
    const orphan = await listen(port, true);
    const waiting = holdPort({ host: "127.0.0.1", port });
    setTimeout(() => orphan.close(), 500);
    (await waiting)();
    await listen(port);
    await expect(holdPort({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "conflict" });
  });
});
