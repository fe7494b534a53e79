import { eventually } from "@gatewright/testkit";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  StackContextManager,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, type Step, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const parentId = "00f067aa0ba902b7";
const traceparent = `00-${traceId}-${parentId}-01`;

let server: ScriptedServer;
const start = () =>
  startTestGateway({
    mcpServers: { up: { url: server.url, trusted: true } },
    plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 2, jitter: "none" } }],
  });
const request = (method: string, params?: object) => ({ jsonrpc: "2.0", id: 7, method, params });

beforeAll(async () => {
  server = await startScriptedServer();
});
afterAll(() => server.close());

it("without an SDK nothing is traced, and the client's trace context goes on as it came", async () => {
  await using gateway = await start();
  await gateway.core.refresher.ready();
  expect(gateway.core.calls.tracing).toBeUndefined();
  const _meta = { traceparent, tracestate: "a=1", "com.example/x": 1 };
  const answer = await gateway.rpc("/mcp/http", request("tools/call", { name: "up_read", _meta }));
  expect(answer.body.result).toBeDefined();
  expect(server.seen("tools/call").at(-1)?.params._meta).toMatchObject(_meta);
});

describe("with an OpenTelemetry SDK", () => {
  const exporter = new InMemorySpanExporter();
  let gateway: TestGateway;

  beforeAll(async () => {
    trace.setGlobalTracerProvider(
      new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }),
    );
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    context.setGlobalContextManager(new StackContextManager().enable());
    gateway = await start();
    await gateway.core.refresher.ready();
  });
  afterAll(async () => {
    await gateway.close();
    trace.disable();
    propagation.disable();
    context.disable();
  });

  /** Makes a call and gives its answer, its span and what the upstream saw of it last. */
  async function traced(method: string, params?: object, headers?: Record<string, string>) {
    exporter.reset();
    const { body } = await gateway.rpc("/mcp/http", request(method, params), headers);
    const span = await eventually(() => exporter.getFinishedSpans()[0] ?? false);
    return { body, span, seen: server.seen(method).at(-1) };
  }

  it("a call is a server span of MCP's conventions that continues the client's trace and is told to the upstream", async () => {
    server.script("tools/call", { result: { content: [] } });
    const _meta = { traceparent, tracestate: "a=1", "com.example/x": 1 };
    const { span, seen } = await traced("tools/call", { name: "up_read", arguments: { a: 1 }, _meta });
    expect(span.name).toBe("tools/call up_read");
    expect(span.kind).toBe(SpanKind.SERVER);
    expect(span.attributes).toMatchObject({
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "up_read",
      "gen_ai.operation.name": "execute_tool",
      "jsonrpc.request.id": "7",
      "client.address": "127.0.0.1",
      "network.transport": "tcp",
    });
    const { spanId } = span.spanContext();
    expect(span.spanContext().traceId).toBe(traceId);
    expect(span.parentSpanContext?.spanId).toBe(parentId);
    expect(seen?.params).toMatchObject({ name: "read", arguments: { a: 1 } });
    expect(seen?.params._meta).toMatchObject({
      traceparent: `00-${traceId}-${spanId}-01`,
      tracestate: "a=1",
      "com.example/x": 1,
    });
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    expect(span.events).toEqual([]);
  });

  it("without `_meta.traceparent` the headers' trace is continued, without both one begins", async () => {
    const continued = await traced("tools/call", { name: "up_read" }, { traceparent });
    expect(continued.span.parentSpanContext?.spanId).toBe(parentId);
    const begun = await traced("tools/call", { name: "up_read" }, {});
    expect(begun.span.parentSpanContext).toBeUndefined();
    expect(begun.seen?.params._meta.traceparent).toContain(begun.span.spanContext().traceId);
  });

  it("attempts are events with number, delay and reason, and so is the end of them", async () => {
    server.script("tools/call", { status: 503 }, { status: 503 }, { result: { content: [] } });
    const cured = await traced("tools/call", { name: "up_read" });
    expect(cured.span.events.map(({ name, attributes }) => [name, attributes])).toEqual(
      [2, 3].map((attempt) => [
        "gatewright.retry",
        {
          "gatewright.retry.attempt": attempt,
          "gatewright.retry.delay_ms": attempt - 1,
          "gatewright.retry.reason": "http_status",
        },
      ]),
    );
    server.script("tools/call", { status: 503 });
    const lost = await traced("tools/call", { name: "up_write" });
    expect(lost.span.events.at(-1)).toMatchObject({
      name: "gatewright.give_up",
      attributes: { "gatewright.retry.attempts": 3, "gatewright.retry.reason": "max_retries" },
    });
    expect(lost.span.status.code).toBe(SpanStatusCode.ERROR);
    expect(lost.span.attributes).toMatchObject({ "rpc.response.status_code": String(lost.body.error.code) });
  });

  it("a hedge is an event, and so is why there is none, and a request that was sent once more in a new session", async () => {
    await using hedging = await startTestGateway({
      mcpServers: { up: { url: server.url, trusted: true, stateless: true } },
      plugins: [{ name: "retry", config: { maxRetries: 0, hedge: { delayMs: 10 } } }],
      retry: { budget: { ratio: 0, floorPerSecond: 0.001 } },
    });
    await hedging.core.refresher.ready();
    const events = async (tool: string) => {
      exporter.reset();
      await hedging.rpc("/mcp/http", request("tools/call", { name: `up_${tool}` }));
      const span = await eventually(() => exporter.getFinishedSpans()[0] ?? false);
      return span.events.map(({ name, attributes }) => [name, attributes]);
    };
    const slow: Step = (_, send) => void setTimeout(send, 100, { content: [] });
    server.script("tools/call", () => undefined, { result: { content: [] } }, slow);
    expect(await events("read")).toEqual([["gatewright.hedge", { "gatewright.retry.attempt": 2 }]]);
    const none = (reason: string) => [["gatewright.no_hedge", { "gatewright.retry.reason": reason }]];
    expect(await events("read")).toEqual(none("hedge_budget_exhausted"));
    expect(await events("write")).toEqual(none("hedge_not_read_only"));
    server.script("tools/call", { status: 401 }, { result: { content: [] } });
    const renewed = await traced("tools/call", { name: "up_write" });
    expect(renewed.span.events.map(({ name }) => name)).toEqual(["gatewright.new_session"]);
    expect(renewed.body.result).toBeDefined();
  });

  it("requests that no plugin sees are traced in the same way", async () => {
    server.script("completion/complete", { status: 503 }, { result: { completion: { values: [] } } });
    const ref = { type: "ref/prompt", name: "up_greet" };
    const { span, seen } = await traced("completion/complete", { ref, argument: { name: "a", value: "b" } });
    expect(span.name).toBe("completion/complete");
    expect(span.events.map(({ name }) => name)).toEqual(["gatewright.retry"]);
    expect(seen?.params._meta.traceparent).toContain(span.spanContext().spanId);
    const list = await traced("tools/list");
    expect(list.span.name).toBe("tools/list");
  });

  it("failures are told apart: the tool's, the upstream's, the gateway's", async () => {
    server.script("tools/call", { result: { isError: true, content: [] } });
    expect((await traced("tools/call", { name: "up_write" })).span.attributes["error.type"]).toBe(
      "tool_error",
    );
    server.script("tools/call", { error: { code: -32602, message: "no such city" } });
    const { span } = await traced("tools/call", { name: "up_read" });
    expect(span.attributes).toMatchObject({ "error.type": "-32602", "rpc.response.status_code": "-32602" });
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: "no such city" });
    const unknown = await traced("tools/call", { name: "up_nothing" });
    expect(unknown.span.attributes["error.type"]).toBeTypeOf("string");
    expect(unknown.span.status.code).toBe(SpanStatusCode.ERROR);
  });

  it("a call that its client leaves is a span too, and says so", async () => {
    server.script("tools/call", () => undefined);
    exporter.reset();
    const before = server.seen("tools/call").length;
    const leaving = new AbortController();
    const call = fetch(`${gateway.url}/mcp/http`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${gateway.token}` },
      body: JSON.stringify(request("tools/call", { name: "up_read" })),
      signal: leaving.signal,
    }).catch(() => "left");
    await eventually(() => server.seen("tools/call").length > before);
    leaving.abort();
    expect(await call).toBe("left");
    const span = await eventually(() => exporter.getFinishedSpans()[0] ?? false);
    expect(span.attributes["error.type"]).toBe("cancelled");
  });

  it("what a URI hides and what is not text does not get into a span", async () => {
    const uri = "res://me:secret@a/b?token=x#y";
    const { span } = await traced("resources/read", { uri, _meta: { traceparent: 5, tracestate: {} } });
    expect(span.attributes["mcp.resource.uri"]).toBe("res://a/b");
    expect(span.parentSpanContext).toBeUndefined();
  });
});
