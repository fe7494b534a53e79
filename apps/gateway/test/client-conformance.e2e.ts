import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { runClientConformance } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flows, type SuiteTask } from "./support/suite-flows.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** The scenarios of the client direction that a gateway can be asked for, and how many checks each makes. */
const scenarios = {
  tools_call: 2,
  "request-metadata": 5,
  "sse-retry": 3,
  "elicitation-sep1034-client-defaults": 5,
  "sep-2322-client-request-state": 5,
  "http-standard-headers": 10,
  "http-custom-headers": 18,
  "http-invalid-tool-headers": 12,
  "json-schema-ref-no-deref": 1,
  "json-schema-2020-12-preservation": 9,
} as const;

type Scenario = keyof typeof scenarios;

/** Scenarios whose server has no sessions: for a client that has one, everything is translated. */
const bridged: readonly Scenario[] = [
  "sep-2322-client-request-state",
  "http-custom-headers",
  "json-schema-2020-12-preservation",
];

interface Front {
  readonly name: string;
  readonly mode: "auto" | "legacy";
  readonly plain: boolean;
  readonly only: readonly Scenario[];
}

const fronts: readonly [Front, ...Front[]] = [
  {
    name: "a client of any revision at the server's own endpoint",
    mode: "auto",
    plain: true,
    only: Object.keys(scenarios) as Scenario[],
  },
  { name: "a client with a session", mode: "legacy", plain: true, only: bridged },
  {
    name: "a client of any revision where many servers are one",
    mode: "auto",
    plain: false,
    only: ["elicitation-sep1034-client-defaults", "http-standard-headers", ...bridged],
  },
];

const relay = join(import.meta.dirname, "support/suite-relay.mjs");
let gateway: TestGateway;
let used = fronts[0];
let count = 0;

/** Takes tasks from the suite: puts its server behind the gateway and does what the scenario wants. */
const driver = createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  const task = JSON.parse(text) as SuiteTask;
  const name = `suite-${++count}`;
  const { body } = await gateway.rest("POST", "/gateways", { name, url: task.url });
  try {
    if (body.id === undefined) throw new Error(JSON.stringify(body));
    const { mode, plain } = used;
    const path = plain ? `/servers/${body.id}/mcp` : "/mcp";
    await flows[task.scenario]?.({ gateway, mode, path, prefix: plain ? "" : `${body.slug}_` }, task);
    response.statusCode = 200;
  } catch (error) {
    response.statusCode = 500;
    response.write(error instanceof Error ? error.stack : String(error));
  } finally {
    // The suite waits until nobody is connected to its server.
    await gateway.rest("DELETE", `/gateways/${body.id}`);
    response.end();
  }
});

beforeAll(async () => {
  gateway = await startTestGateway();
  driver.listen(0, "127.0.0.1");
  await once(driver, "listening");
});

afterAll(async () => {
  driver.close();
  await gateway[Symbol.asyncDispose]();
});

// Slow because each is a run of the suite, a program of its own.
describe.each(fronts)(
  "the public conformance suite as a server behind the gateway, used by $name",
  (front) => {
    for (const scenario of front.only) {
      const checks = scenarios[scenario];
      // The suite judges times, which a busy machine stretches.
      const retry = scenario === "sse-retry" ? 2 : 0;
      it(`is content with ${scenario}`, { timeout: 90_000, retry }, async () => {
        used = front;
        const report = await runClientConformance({
          scenario,
          command: [process.execPath, relay],
          env: { SUITE_DRIVER: `http://127.0.0.1:${(driver.address() as AddressInfo).port}` },
        });
        const all = { passed: checks, checks, failed: 0, warnings: 0, exitCode: 0 };
        expect(report, report.output).toMatchObject(all);
      });
    }
  },
);
