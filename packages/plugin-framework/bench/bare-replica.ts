/** A replica without our code: hears of a record, reads it, says that it has. */
import { Redis } from "ioredis";

const [port, name = ""] = process.argv.slice(2);
const client = new Redis({ host: "127.0.0.1", port: Number(port) });
const subscriber = new Redis({ host: "127.0.0.1", port: Number(port) });
await subscriber.subscribe("floor:bus");
subscriber.on("message", async () => {
  const record = await client.get("floor:record");
  await client.hset("floor:acks", name, record ?? "");
});
process.send?.("ready");
process.on("disconnect", () => process.exit(0));
