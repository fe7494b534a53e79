import { startEchoServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { bridgeConfig } from "../src/config/mcp-bridge.ts";
import { OutcomeLog } from "../src/polling/outcome-log.ts";
import type { UpstreamRecord } from "../src/registry/records.ts";
import { startTestGateway } from "./support/test-gateway.ts";

describe("what is said of upstreams", () => {
  it("a reason says once why an upstream cannot be reached", async () => {
    await using gateway = await startTestGateway();
    const dead = { name: "dead", url: "http://127.0.0.1:1/mcp" };
    const refused = await gateway.rest("POST", "/gateways", dead);
    expect(refused.body.error.message).toBe('"dead" cannot be reached: connection refused (ECONNREFUSED)');
    const kept = await gateway.rest("POST", "/api/servers", dead);
    expect(kept.body.stateReason).toBe("connection refused (ECONNREFUSED)");
    const { body } = await gateway.rpc(`/servers/${kept.body.id}/mcp`, {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } },
    });
    expect(body.error.message).toBe("dead cannot be reached: connection refused (ECONNREFUSED)");
  });

  it("failures of polls are logged when they begin and when they end, not each time", () => {
    const lines: { readonly level: number; readonly msg: string }[] = [];
    const logger = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const log = new OutcomeLog(logger);
    const record = { id: "a", name: "a" } as UpstreamRecord;
    for (let poll = 0; poll < 3; poll++) log.tell(record, "connection refused", "health");
    log.tell(record, undefined, "health");
    log.tell(record, undefined);
    log.tell(record, "gone");
    log.keepOnly(new Map());
    log.tell(record, "gone");
    const loud = lines.filter(({ level }) => level >= 30).map(({ msg }) => msg);
    const failed = "upstream unreachable";
    expect(loud).toEqual([failed, "upstream answers again", failed, failed]);
    expect(lines).toHaveLength(7);
  });

  it("metric series of an upstream go with it", async () => {
    const echo = await startEchoServer();
    await using gateway = await startTestGateway();
    const { body } = await gateway.rest("POST", "/gateways", { name: "echo", url: echo.url });
    const call = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "echo_echo", arguments: { text: "x" } },
    };
    expect((await gateway.rpc("/mcp/http", call)).body.result).toBeDefined();
    const metrics = async () => (await gateway.rest("GET", "/metrics")).body as string;
    expect(await metrics()).toContain(`gatewright_sessions_opened_total{server="${body.id}"}`);
    await gateway.rest("DELETE", `/gateways/${body.id}`);
    await eventually(async () => !(await metrics()).includes(body.id));
    await echo.close();
  });

  it("takes no longer time between the steps of stopping a child than the bridge does", () => {
    expect(bridgeConfig.safeParse({ stdioStopMs: 901 }).success).toBe(false);
    expect(bridgeConfig.parse({ stdioStopMs: 900 }).stdioStopMs).toBe(900);
  });
});
