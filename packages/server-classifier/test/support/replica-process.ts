// A replica in a process of its own: `node replica-process.ts REDIS_URL SERVER_IN_USE`. Prints a line whenever its
// leadership or snapshot changes, and when Redis answers that its publication is refused.
import { Redis } from "ioredis";
import { createClassifier } from "../../src/index.ts";
import { createRedisClassifierStore } from "../../src/redis/index.ts";
import { servers } from "./usage.ts";

const [url = "", inUse = ""] = process.argv.slice(2);
const client = new Redis(url, { commandTimeout: 1_000, maxRetriesPerRequest: 1 });
const subscriber = new Redis(url);
const store = createRedisClassifierStore({ client, subscriber });
let uses = 0;
const classifier = createClassifier(
  { cycleMs: 50, leaseMs: 600, heartbeatMs: 100, ranking: { preset: "contextforge" } },
  {
    store: {
      ...store,
      async publish(publication) {
        const reply = await store.publish(publication);
        if (!reply.accepted) console.log(`refused ${publication.epoch}`);
        return reply;
      },
    },
    servers: () => servers(5),
    usage: {
      usage: () => [
        { serverId: inUse, lastUsedAt: Date.now(), activeSessions: 0, totalUses: ++uses, pooledSessions: 1 },
      ],
    },
    observer: {
      onLeader: ({ leader, epoch }) => console.log(leader ? `leads ${epoch}` : `follows ${epoch}`),
    },
  },
);
classifier.start();
setInterval(() => {}, 1_000);
