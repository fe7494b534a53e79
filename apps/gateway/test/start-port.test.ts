import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, it } from "vitest";
import { startGateway } from "../src/app/gateway.ts";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { loadSecret } from "../src/secret/gateway-secret.ts";
import { startScriptedServer } from "./support/scripted-server.ts";

it("a port in use ends the start before anything was asked, led or logged", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  await using upstream = await startScriptedServer();
  const dataDir = await mkdtemp(join(tmpdir(), "gatewright-port-"));
  try {
    const { port } = taken.address() as AddressInfo;
    const config = gatewayConfig.parse({
      server: { port, dataDir },
      mcpServers: { up: { url: upstream.url } },
    });
    const logs: string[] = [];
    const logger = pino({ level: "info" }, { write: (line: string) => void logs.push(line) });
    const start = startGateway(config, { secret: loadSecret(dataDir, {}), logger });
    await expect(start).rejects.toMatchObject({
      code: "conflict",
      message: `127.0.0.1:${port} is in use by another process; set PORT to a free port`,
    });
    expect(logs).toEqual([]);
    expect(upstream.seen("server/discover")).toEqual([]);
  } finally {
    taken.close();
    await rm(dataDir, { recursive: true, force: true });
  }
});
