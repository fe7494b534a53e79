import { createRedisOwnership } from "@gatewright/session-pool/redis";
import { Redis } from "ioredis";
import { quick, sealKey, signKey } from "./replica.ts";

/*
 * A replica in a process of its own, driven over IPC: `{id, method, args}` in, `{id, result}` out. `race` has
 * several ownerships of this process reclaim the same session at once.
 */

const port = Number(process.argv[2]);

/** Longer than those of `quick`: between two processes nothing is sure to happen within half a second. */
const patient = { heartbeatMs: 300, deadAfterMs: 1500 };

const make = () =>
  createRedisOwnership(
    {
      advertiseUrl: `http://127.0.0.1/${process.pid}`,
      sealKeys: [sealKey],
      signKeys: [signKey],
      ...quick,
      ...patient,
    },
    { redis: new Redis({ port, host: "127.0.0.1" }), onEvict: () => {}, onOwnershipLost: () => {} },
  );

const ownership = make();
const racers = Array.from({ length: 5 }, make);

const methods: Record<string, (...args: never[]) => unknown> = {
  claim: ownership.claim.bind(ownership),
  save: ownership.save.bind(ownership),
  locate: ownership.locate.bind(ownership),
  close: ownership.close.bind(ownership),
  race: (sessionId: string, principal: string) =>
    Promise.all(racers.map((racer) => racer.reclaim(sessionId, principal))),
};

process.on("disconnect", () => process.exit());
process.on("message", async ({ id, method, args }: { id: number; method: string; args: never[] }) => {
  try {
    process.send?.({ id, result: await methods[method]?.(...args) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
await ownership.start();
process.send?.({ id: 0 });
