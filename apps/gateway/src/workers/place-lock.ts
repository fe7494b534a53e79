import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, isIPv4, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const pauseMs = 20;

/**
 * Keeps an address and port from the other primaries of this machine, until the returned function is called or the
 * process ends: an abstract socket named after the place (Linux). A place that overlaps is refused too: all interfaces
 * and one of them are two names, and with SO_REUSEPORT the kernel would give the port to both.
 *
 * @param untilMs how long, by `performance.now()`, another one that is just being looked at may be waited for
 * @throws an error with the code `EADDRINUSE` when another primary has the place
 */
export async function lockPlace(address: string, port: number, untilMs: number): Promise<() => void> {
  // Two that look at the same moment would see each other, and neither would get it.
  const looking = await holdName(`gatewright:${port}`, untilMs);
  try {
    const held = (await heldAddresses(port)).find((other) => overlap(address, other));
    if (held !== undefined) throw inUse(`${held}:${port}`);
    const lock = await holdName(`gatewright:${address}:${port}`);
    return () => void lock.close();
  } finally {
    looking.close();
  }
}

/** The addresses that primaries hold on this port. Where the kernel lists no sockets, the same name is still refused. */
async function heldAddresses(port: number): Promise<readonly string[]> {
  const sockets = await readFile("/proc/net/unix", "utf8").catch(() => "");
  return [...sockets.matchAll(/@gatewright:(\S+):(\d+)$/gm)].flatMap(([, address = "", its]) =>
    Number(its) === port ? [address] : [],
  );
}

function overlap(one: string, other: string): boolean {
  return one === other || covers(one, other) || covers(other, one);
}

/** Is the address that of all interfaces? That of IPv6 takes IPv4 connections, too. */
function covers(wide: string, address: string): boolean {
  return wide === "::" || (wide === "0.0.0.0" && isIPv4(address));
}

async function holdName(name: string, untilMs = 0): Promise<Server> {
  for (;;) {
    const server = createServer((socket) => socket.destroy());
    try {
      server.listen({ path: `\0${name}` });
      await once(server, "listening");
      server.unref();
      return server;
    } catch (error) {
      const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!taken || performance.now() > untilMs) throw error;
    }
    await sleep(pauseMs);
  }
}

function inUse(place: string): Error {
  return Object.assign(new Error(`${place} is in use`), { code: "EADDRINUSE" });
}
