import { once } from "node:events";
import { createServer } from "node:http";
import { constants, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";
import { expect, it } from "vitest";
import { Relay, type RelayOutcome } from "../src/replicas/relay.ts";

it("a request to another replica is executed once, though the HTTP client would send it again by itself", async () => {
  let executed = 0;
  const owner = createHttp2Server();
  owner.on("sessionError", () => undefined);
  owner.on("stream", (stream) => {
    stream.on("error", () => undefined);
    executed++;
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  owner.listen(0, "127.0.0.1");
  const outcome = Promise.withResolvers<RelayOutcome>();
  const edge = createServer((_, response) => {
    const relay = new Relay({ response, silenceMs: 5_000, streamSilenceMs: 5_000, brokenStream: undefined });
    const options = { origin, path: "/", method: "POST", body: Buffer.from("{}") } as const;
    pool.dispatch(options, relay);
    void relay.outcome.then((came) => {
      outcome.resolve(came);
      response.end();
    });
  });
  edge.listen(0, "127.0.0.1");
  await Promise.all([once(owner, "listening"), once(edge, "listening")]);
  const origin = `http://127.0.0.1:${(owner.address() as AddressInfo).port}`;
  const pool = new Pool(origin, { useH2c: true } as Pool.Options);
  try {
    await fetch(`http://127.0.0.1:${(edge.address() as AddressInfo).port}`);
    expect(await outcome.promise).toMatchObject({ kind: "unknown" });
    expect(executed).toBe(1);
  } finally {
    await pool.destroy();
    edge.close();
    edge.closeAllConnections();
    owner.close();
  }
});
