import { isAlive } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { descendants } from "./support/processes.ts";
import { startTestGateway } from "./support/test-gateway.ts";

/** A program that says nothing, and ignores the end of its input and SIGTERM. */
const silent = (mark: string) => ({
  command: process.execPath,
  args: ["-e", `process.on("SIGTERM", () => {}); setInterval(() => {}, 1_000); // ${mark}`],
});

it("a gateway that stops does not wait for a program that is being registered and says nothing", async () => {
  await using gateway = await startTestGateway({
    // Without an end of the registration the stop would last as long as the handshake may.
    bridge: { connectTimeoutMs: 600_000 },
    server: { shutdownDeadlineMs: 30_000 },
  });
  const registered = ["gateways", "api/servers"].map((path) =>
    gateway.rest("POST", `/${path}`, { name: path, ...silent(`silent-${process.pid}`) }),
  );
  const pids = await eventually(async () => {
    const found = await descendants(process.pid, `silent-${process.pid}`);
    return found.length >= 2 && found;
  });
  await gateway.close();
  for (const { status, headers, body } of await Promise.all(registered)) {
    expect([status, body.error.code, headers.get("retry-after")]).toEqual([503, "overloaded", "1"]);
  }
  await eventually(() => pids.every((pid) => !isAlive(pid)));
});
