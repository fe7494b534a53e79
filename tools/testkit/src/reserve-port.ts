import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A TCP port of 127.0.0.1 that no other test process of this machine is given until it is released. */
export interface PortReservation {
  readonly port: number;
  /** Gives the port back; idempotent. */
  release(): void;
}

/** Below 22768, so that a Redis Cluster bus port (port + 10000) stays out of the ephemeral range. */
const firstPort = 10_240;
const lastPort = 22_767;
const busOffset = 10_000;

/**
 * Reserves a port by a lock file that names its owner (locks of dead processes are taken over) and by binding
 * it once. A foreign program may still take it before the server does; starters retry on "address in use".
 *
 * @param withBusPort also require port + 10000 to be free, as a Redis Cluster node needs.
 */
export async function reservePort({ withBusPort = false } = {}): Promise<PortReservation> {
  const folder = join(tmpdir(), `gatewright-ports-${process.getuid?.() ?? 0}`);
  mkdirSync(folder, { recursive: true });
  for (let attempt = 0; attempt < 500; attempt++) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort + 1));
    const lock = join(folder, String(port));
    if (!lockPort(lock)) continue;
    if ((await isFree(port)) && (!withBusPort || (await isFree(port + busOffset)))) {
      return { port, release: () => rmSync(lock, { force: true }) };
    }
    rmSync(lock, { force: true });
  }
  throw new Error(`No free port between ${firstPort} and ${lastPort}.`);
}

function lockPort(lock: string): boolean {
  try {
    const file = openSync(lock, "wx");
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch {
    removeStaleLock(lock);
    return false;
  }
}

function removeStaleLock(lock: string): void {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true });
  } catch {
    // Somebody else removed it in between.
  }
}

/** Whether a process with this id exists (zombies count as existing). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
