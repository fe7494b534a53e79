import { describe, expect, it } from "vitest";
import {
  type ControlBus,
  createInProcessBus,
  createPluginPipeline,
  definePlugin,
  type HookName,
  type HookPayloads,
} from "../src/index.ts";
import { toolPlugin } from "./support.ts";

const post = {
  name: "x",
  outcome: { kind: "result", result: {} },
  attempt: 1,
  serverTrusted: false,
} as const;
const request = { path: "/mcp/http", method: "POST", headers: {} };

/** One payload for each built-in hook; the type says whether one is missing. */
const payloads: { readonly [H in HookName]: HookPayloads[H] } = {
  tool_pre_invoke: { name: "echo", args: {}, headers: {} },
  tool_post_invoke: post,
  prompt_pre_fetch: { promptId: "greet", args: {} },
  prompt_post_fetch: post,
  resource_pre_fetch: { uri: "file:///a", metadata: {} },
  resource_post_fetch: post,
  agent_pre_invoke: { agentId: "a", messages: [] },
  agent_post_invoke: post,
  http_pre_request: request,
  http_post_request: { ...request, responseHeaders: {}, statusCode: 200 },
  http_auth_resolve_user: { headers: {} },
  http_auth_check_permission: { user: "ann", permission: "mcp" },
};
const names = Object.keys(payloads) as HookName[];

describe("hooks", () => {
  it("the twelve built-in ones carry their payload to a plugin and back, with a record each", async () => {
    const seen = new Map<string, unknown>();
    const note = (name: string) => (payload: unknown) => {
      seen.set(name, JSON.parse(JSON.stringify(payload)));
      return undefined;
    };
    const plugin = definePlugin({
      name: "everywhere",
      version: "1.0.0",
      description: "is at every hook",
      hooks: Object.fromEntries(names.map((name) => [name, {}])),
      create: () => ({ hooks: Object.fromEntries(names.map((name) => [name, note(name)])) }),
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use: plugin }] });
    using scope = pipeline.begin({ requestId: "r" });
    expect(names).toHaveLength(12);
    for (const name of names) {
      const result = await scope.invoke(name, payloads[name] as HookPayloads["tool_pre_invoke"]);
      expect(result.payload).toBe(payloads[name]);
      expect(result.records).toMatchObject([{ plugin: "everywhere", hook: name, status: "completed" }]);
    }
    expect(Object.fromEntries(seen)).toEqual(payloads);
  });

  it("the outcome of an attempt that failed reaches the post hook with code, numbers and phase", async () => {
    const failed = {
      ...post,
      attempt: 2,
      outcome: {
        kind: "error",
        code: "upstream_unreachable",
        httpStatus: 502,
        rpcCode: -32_603,
        networkCode: "ECONNRESET",
        phase: "sent_no_response",
      },
      annotations: { readOnlyHint: true },
      serverTrusted: true,
      idempotencyKey: "k",
    } as const;
    let seen: unknown;
    const plugin = definePlugin({
      name: "watcher",
      version: "1.0.0",
      description: "looks at attempts",
      hooks: { tool_post_invoke: { reads: "outcome" } },
      create: () => ({
        hooks: {
          tool_post_invoke: (payload) => {
            seen = JSON.parse(JSON.stringify(payload));
            return undefined;
          },
        },
      }),
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use: plugin }] });
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_post_invoke", failed);
    expect(seen).toEqual(failed);
  });
});

describe("order at the bus", () => {
  function watched(): { readonly bus: ControlBus; readonly calls: string[] } {
    const shared = createInProcessBus();
    const calls: string[] = [];
    const noted = <T>(name: string, work: () => T): T => {
      calls.push(name);
      return work();
    };
    const bus: ControlBus = {
      ...shared,
      synchronous: false,
      read: (scopes) => noted("read", () => shared.read(scopes)),
      write: (...args) => noted("write", () => shared.write(...args)),
      members: () => noted("members", () => shared.members()),
      beat: (replica) => noted("beat", () => shared.beat(replica)),
    };
    return { bus, calls };
  }

  it("PF-I6 a replica registers first and reads then; a switch writes first and reads the members then", async () => {
    const { bus, calls } = watched();
    const plugins = [{ use: toolPlugin("guard", () => undefined) }];
    await using pipeline = await createPluginPipeline({ plugins }, { bus });
    expect(calls.indexOf("beat")).toBeGreaterThanOrEqual(0);
    expect(calls.indexOf("read")).toBeGreaterThan(calls.indexOf("beat"));
    calls.length = 0;
    await pipeline.setMode("guard", "disabled");
    expect(calls.indexOf("write")).toBeGreaterThanOrEqual(0);
    expect(calls.indexOf("members")).toBeGreaterThan(calls.indexOf("write"));
  });
});
