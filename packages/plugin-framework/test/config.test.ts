import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import {
  configJsonSchema,
  createPluginPipeline,
  defineHook,
  definePlugin,
  type HookOutcome,
  manifestOf,
  markdownTable,
  type PipelineConfig,
  parseConfigText,
  type RequestContext,
  readConfigFile,
  substituteEnv,
  textListing,
} from "../src/index.ts";
import { toolCall, toolPlugin, violation } from "./support.ts";

const guard = toolPlugin("guard", () => ({ block: violation }));
const configured = definePlugin({
  name: "greeter",
  version: "2.1.0",
  description: "Says hello | goodbye.",
  tags: ["demo"],
  hooks: { tool_pre_invoke: { phase: "audit", reads: "none" }, http_pre_request: {} },
  configSchema: z.strictObject({ greeting: z.string().default("hello"), times: z.int().max(3).optional() }),
  defaults: { mode: "permissive", priority: 7, onError: "ignore", timeoutMs: 50 },
  create: ({ greeting }) => ({ hooks: { tool_pre_invoke: () => ({ headers: { greeting } }) } }),
});

/** A reference to the environment, as a file has it. */
const ref = (body: string) => `\${${body}}`;

const load = (config: unknown) => createPluginPipeline(config as PipelineConfig);

describe("configuration", () => {
  it("PF-R7 an unknown key, a bad mode, a bad pattern: an error with the path and a suggestion", async () => {
    const wrong: [unknown, string][] = [
      [{ plugin: [] }, 'plugin: unknown key; did you mean "plugins"?'],
      [
        { plugins: [{ use: guard, prioritty: 1 }] },
        'plugins[0].prioritty: unknown key; did you mean "priority"?',
      ],
      [{ plugins: [{ use: guard, mode: "enforec" }] }, 'did you mean "enforce"?'],
      [
        { plugins: [{ use: guard, onError: "ignor" }] },
        "plugins[0].onError: must be one of fail, ignore, disable",
      ],
      [
        { plugins: [{ use: guard, conditions: [{ tool: ["x"] }] }] },
        'plugins[0].conditions[0].tool: unknown key; did you mean "tools"?',
      ],
      [
        { plugins: [{ use: guard, conditions: [{ tools: [""] }] }] },
        "plugins[0].conditions[0].tools[0]: a pattern has",
      ],
      [{ plugins: [{ use: guard, conditions: [{ tools: ["a\\"] }] }] }, "lone backslash"],
      [{ plugins: [{ use: guard }, { use: guard }] }, 'plugins[1].name: "guard" is registered twice'],
      [
        { plugins: [{ use: guard }], bindings: [{ plugin: "gaurd" }] },
        'bindings[0].plugin: no plugin is named "gaurd"; did you mean "guard"?',
      ],
      [
        { plugins: [{ use: { ...guard, hooks: { tool_pre_invok: {} } } }] },
        'did you mean "tool_pre_invoke"?',
      ],
      [{ plugins: [{ use: {} }] }, "plugins[0].use: must be a plugin definition"],
      [{ plugins: [{ use: guard, config: { a: 1 } }] }, "takes no config"],
      [
        { plugins: [{ use: configured, config: { greting: "x" } }] },
        'plugins[0].config.greting: unknown key; did you mean "greeting"?',
      ],
      [
        { plugins: [{ use: configured }], bindings: [{ plugin: "greeter", config: { times: 9 } }] },
        "bindings[0].config.times",
      ],
      [{ limits: { payloadChars: 1 } }, "limits.payloadChars: unknown key"],
      [{ plugins: [{ use: guard, timeoutMs: 0 }] }, "plugins[0].timeoutMs"],
    ];
    for (const [config, message] of wrong) {
      const error = await load(config).then(
        () => undefined,
        (failure: unknown) => failure,
      );
      expect(error, message).toMatchObject({
        code: "validation_failed",
        message: expect.stringContaining(message),
      });
    }
    await using pipeline = await load({ plugins: [{ use: guard }] });
    await expect(pipeline.setMode("guard", "disable" as never)).rejects.toThrow('did you mean "disabled"?');
    await expect(pipeline.setMode("guard", "disabled", { ttl: 5 } as never)).rejects.toThrow(
      'did you mean "ttlMs"?',
    );
    await expect(pipeline.setMode("gard", "disabled")).rejects.toThrow('did you mean "guard"?');
  });

  it("PF-R7 references to the environment go in byte for byte, after parsing", () => {
    const env = { SECRET: `a&b<c>"'\\${ref("X")} \n# : |`, EMPTY: "", X: "no" };
    const yaml = [
      `a: "${ref("SECRET")}"`,
      `b: ["x-${ref("EMPTY:-none")}-y", "${ref("MISSING:-")}", "${ref("MISSING:-a:b")}"]`,
      `c: "$${ref("SECRET")}"`,
      "d: 5\ne: null",
    ];
    expect(substituteEnv(parseYaml(yaml.join("\n")), env)).toEqual({
      a: env.SECRET,
      b: ["x-none-y", "", "a:b"],
      c: ref("SECRET"),
      d: 5,
      e: null,
    });
    expect(substituteEnv(ref("EMPTY"), env)).toBe("");
    expect(() => substituteEnv({ list: [{ key: ref("SECRE") }] }, env)).toThrow(
      'list[0].key: the environment has no SECRE; did you mean "SECRET"?',
    );
    expect(() => substituteEnv(ref("constructor"), env)).toThrow("the environment has no constructor");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        expect(substituteEnv({ k: `<${ref("V")}>` }, { V: value })).toEqual({ k: `<${value}>` });
      }),
    );
  });

  it.each([
    [JSON.parse, '{"a": 1,\n  password: "hunter2"}', "a syntax error at line 2, column 3"],
    [JSON.parse, '{"password": hunter2}', "a syntax error"],
    [parseYaml, "a: [hunter2: x\nb: }", "BAD_INDENT at line 2, column 1"],
    [parseYaml, "a: *hunter2", "a syntax error"],
  ])("a text that cannot be parsed is not quoted", (parse, text, place) => {
    const read = () => parseConfigText(text, { definitions: [], parse });
    expect(read).toThrow(place);
    expect(read).not.toThrow("hunter2");
  });

  it("PF-R7 reads JSON and YAML files with plugins by name", async () => {
    const options = { definitions: [guard, configured], env: { HELLO: "hi & bye" }, parse: parseYaml };
    const path = join(tmpdir(), `gatewright-${process.pid}.yaml`);
    const entry = `{plugin: greeter, mode: enforce, config: {greeting: '${ref("HELLO")}'}}`;
    await writeFile(path, `plugins:\n  - ${entry}\n`);
    await using pipeline = await createPluginPipeline(await readConfigFile(path, options));
    await rm(path);
    using scope = pipeline.begin({ requestId: "r" });
    expect(await scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({
      headers: { greeting: "hi & bye" },
    });
    expect(() => parseConfigText('{"plugins":[{"plugin":"greter"}]}', { definitions: [configured] })).toThrow(
      'plugins[0].plugin: no plugin "greter"; known: greeter; did you mean "greeter"?',
    );
    expect(() => parseConfigText('{"plugin":[]}', { definitions: [] })).toThrow('did you mean "plugins"?');
    expect(() => parseConfigText("{", { definitions: [] })).toThrow("not readable");
    expect(() => parseConfigText('{"plugins":[{"plugin":"zzzzzzzz"}]}', { definitions: [guard] })).toThrow(
      "known: guard",
    );
  });

  it("PF-R7 exports the JSON Schema of the config, with each plugin's own", () => {
    const plain = configJsonSchema() as { properties: Record<string, { items: { properties: object } }> };
    expect(Object.keys(plain.properties)).toEqual(["plugins", "bindings", "limits"]);
    const schema = JSON.parse(JSON.stringify(configJsonSchema([guard, configured])));
    const { items } = schema.properties.plugins;
    expect(items.additionalProperties).toBe(false);
    expect(items.properties.plugin).toEqual({ enum: ["guard", "greeter"] });
    expect(items.properties.mode.enum).toEqual(["enforce", "permissive", "disabled", "enforce_ignore_error"]);
    expect(items.oneOf[0].properties.config).toEqual({ maxProperties: 0 });
    expect(Object.keys(items.oneOf[1].properties.config.properties)).toEqual(["greeting", "times"]);
  });

  it("PF-R11 manifest, JSON Schema, listing and table come from the definition", async () => {
    expect(manifestOf(configured)).toMatchObject({
      name: "greeter",
      version: "2.1.0",
      tags: ["demo"],
      modeAuthority: false,
      hooks: {
        tool_pre_invoke: { phase: "audit", reads: "none" },
        http_pre_request: { phase: "sequential", reads: "body" },
      },
      defaults: { mode: "permissive", priority: 7, onError: "ignore", timeoutMs: 50 },
      config: { type: "object", additionalProperties: false, properties: { greeting: {}, times: {} } },
    });
    expect(manifestOf(guard).config).toBe(false);
    expect(markdownTable([configured, guard]).split("\n")).toEqual([
      "| plugin | version | hooks | config | description |",
      "| --- | --- | --- | --- | --- |",
      "| greeter | 2.1.0 | tool_pre_invoke, http_pre_request | greeting, times | Says hello \\| goodbye. |",
      "| guard | 1.0.0 | tool_pre_invoke | none | guard for tests |",
    ]);
    const [head, row] = textListing([configured]).split("\n");
    expect(head?.indexOf("hooks")).toBe(row?.indexOf("tool_pre_invoke"));
    await using pipeline = await load({ plugins: [{ use: configured }] });
    expect(pipeline.list()).toMatchObject([
      { plugin: "greeter", mode: "permissive", priority: 7, onError: "ignore", timeoutMs: 50 },
    ]);
  });
});

it("PF-R11 the README's table of the example plugin is the one that its definition makes", async () => {
  const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
  const greeter = definePlugin({
    name: "greeter",
    version: "1.0.0",
    description: "Adds a header.",
    hooks: { tool_pre_invoke: { reads: "none" } },
    configSchema: z.strictObject({ greeting: z.string() }),
    create: () => ({ hooks: {} }),
  });
  const plain = (text: string) => text.replace(/ +/g, " ").replace(/-{3,}/g, "---");
  expect(plain(readme)).toContain(plain(markdownTable([greeter])));
});

describe("conditions", () => {
  const runs = async (conditions: object[], context: Partial<RequestContext> = {}, name = "db_query") => {
    await using pipeline = await load({ plugins: [{ use: guard, conditions }] });
    const scope = pipeline.begin({ requestId: "r", ...context });
    const result = await scope.invoke("tool_pre_invoke", { ...toolCall, name });
    scope.end();
    return result.records[0]?.status === "blocked";
  };

  it("PF-R3 entries are alternatives, the fields of one entry must all match", async () => {
    const both = [{ tools: ["db_*"], tenantIds: ["acme"] }, { serverIds: ["s?"] }];
    expect(await runs(both, { tenantId: "acme" })).toBe(true);
    expect(await runs(both, { tenantId: "other" })).toBe(false);
    expect(await runs(both, { tenantId: "acme" }, "web")).toBe(false);
    expect(await runs(both, { serverId: "s1" }, "web")).toBe(true);
    expect(await runs(both, { serverId: "s12" }, "web")).toBe(false);
    expect(await runs([])).toBe(true);
  });

  it("PF-R3 users match by email, id, sub or text; a field the hook does not have does not match", async () => {
    for (const user of [
      "ann@x.org",
      { email: "ann@x.org", id: "z" },
      { id: "ann@x.org" },
      { sub: "ann@x.org" },
    ]) {
      expect(await runs([{ userPatterns: ["*@x.org"] }], { user })).toBe(true);
    }
    expect(await runs([{ userPatterns: ["*"] }])).toBe(false);
    expect(await runs([{ prompts: ["*"] }])).toBe(false);
    expect(await runs([{ agents: ["*"], resources: ["*"] }])).toBe(false);
  });

  it("PF-R3 content types are compared without parameters, globs literally but for * ? and backslash", async () => {
    const use = definePlugin({
      name: "http",
      version: "1",
      description: "",
      hooks: { http_post_request: {} },
      create: () => ({ hooks: { http_post_request: () => ({ headers: { ran: "1" } }) } }),
    });
    await using pipeline = await load({
      plugins: [{ use, conditions: [{ contentTypes: ["application/*json"] }] }],
    });
    using scope = pipeline.begin({ requestId: "r" });
    const ran = async (headers: Record<string, string>, responseHeaders: Record<string, string> = {}) => {
      const payload = { path: "/", method: "GET", headers, responseHeaders, statusCode: 200 };
      return (await scope.invoke("http_post_request", payload)).headers["ran"] === "1";
    };
    expect(await ran({}, { "content-type": "Application/JSON; charset=utf-8" })).toBe(true);
    expect(await ran({ "content-type": "application/json" })).toBe(true);
    expect(await ran({ "content-type": "text/html" })).toBe(false);
    expect(await ran({})).toBe(false);
    expect(await runs([{ tools: ["a.b+(c)"] }], {}, "a.b+(c)")).toBe(true);
    expect(await runs([{ tools: ["a.b+*"] }], {}, "axb+")).toBe(false);
    expect(await runs([{ tools: ["a\\*"] }], {}, "a*")).toBe(true);
    expect(await runs([{ tools: ["a\\*"] }], {}, "ab")).toBe(false);
    expect(await runs([{ tools: ["*a*b*c?"] }], {}, `${"ab".repeat(2_000)}c!`)).toBe(true);
    expect(await runs([{ tools: ["?"] }], {}, "")).toBe(false);
  });

  it("PF-R3 a glob agrees with the regular expression it stands for", async () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*", "?"), minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(pattern, text, async (glob, name) => {
        const expression = glob.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".");
        expect(await runs([{ tools: [glob] }], {}, name)).toBe(new RegExp(`^${expression}$`).test(name));
      }),
      { numRuns: 200 },
    );
  });
});

describe("bindings", () => {
  const counted = () => {
    const created: unknown[] = [];
    const use = definePlugin({
      name: "counter",
      version: "1.0.0",
      description: "counts",
      hooks: { tool_pre_invoke: {} },
      configSchema: z.strictObject({ size: z.int().default(1), tag: z.string().optional() }),
      create(config) {
        created.push(config);
        let calls = 0;
        return {
          hooks: {
            tool_pre_invoke: (): HookOutcome<typeof toolCall> => ({
              headers: { calls: `${++calls}`, size: `${config.size}` },
            }),
          },
        };
      },
    });
    return { created, use };
  };

  it("PF-R8 admin override of the tenant > admin override > binding > file, and explainMode names the layer", async () => {
    const bindings = [
      { plugin: "guard", mode: "permissive" },
      { plugin: "guard", tool: "db_*", mode: "enforce" },
      { plugin: "guard", tool: "db_query", mode: "disabled" },
      { plugin: "guard", tenant: "acme", mode: "enforce" },
      { plugin: "guard", tenant: "acme", server: "s1", mode: "enforce_ignore_error" },
    ];
    await using pipeline = await load({ plugins: [{ use: guard }], bindings });
    await using plain = await load({ plugins: [{ use: guard }] });
    const layer = (context = {}, tool?: string) => {
      const { mode, layer: name } = pipeline.explainMode(
        "guard",
        context,
        tool === undefined ? {} : { tool },
      );
      return [mode, name];
    };
    expect(plain.explainMode("guard")).toMatchObject({
      mode: "enforce",
      layer: "file",
      rev: 0,
      degraded: false,
    });
    expect(layer()).toEqual(["permissive", "binding"]);
    expect(layer({}, "db_write")).toEqual(["enforce", "binding"]);
    expect(layer({}, "db_query")).toEqual(["disabled", "binding"]);
    expect(layer({ tenantId: "acme" }, "db_query")).toEqual(["enforce", "binding"]);
    expect(layer({ tenantId: "acme", serverId: "s1" })).toEqual(["enforce", "binding"]);
    await pipeline.setMode("guard", "disabled");
    expect(layer({ tenantId: "acme" })).toEqual(["disabled", "global_override"]);
    await pipeline.setMode("guard", "permissive", { tenant: "acme" });
    expect(layer({ tenantId: "acme" })).toEqual(["permissive", "tenant_override"]);
    expect(pipeline.explainMode("guard", { tenantId: "acme" }).layers).toMatchObject({
      file: "enforce",
      binding: "enforce",
      global_override: { mode: "disabled", rev: 1 },
      tenant_override: { mode: "permissive", rev: 1 },
    });
    expect(pipeline.list()[0]?.tenantOverrides).toEqual(["acme"]);
    await pipeline.clearMode("guard", { tenant: "acme" });
    expect(layer({ tenantId: "acme" })).toEqual(["disabled", "global_override"]);
    await pipeline.clearMode("guard");
    expect(layer({ tenantId: "acme" })).toEqual(["enforce", "binding"]);
    expect(pipeline.list()[0]?.tenantOverrides).toEqual([]);
  });

  it("PF-R8 bindings decide at dispatch by tenant, server and tool", async () => {
    const bindings = [
      { plugin: "guard", tool: "free", mode: "disabled" },
      { plugin: "guard", server: "s1", tool: "free", mode: "enforce" },
    ];
    await using pipeline = await load({ plugins: [{ use: guard }], bindings });
    const status = async (name: string, serverId?: string) => {
      using scope = pipeline.begin({ requestId: "r", ...(serverId === undefined ? {} : { serverId }) });
      return (await scope.invoke("tool_pre_invoke", { ...toolCall, name })).records[0]?.status;
    };
    expect([await status("free"), await status("free", "s1"), await status("other")]).toEqual([
      "disabled",
      "blocked",
      "blocked",
    ]);
  });

  it("PF-R8 one instance per distinct resolved config, shared by every context and kept over time", async () => {
    const { created, use } = counted();
    const bindings = [
      { plugin: "counter", tenant: "a", config: { size: 2 } },
      { plugin: "counter", tenant: "b", config: { size: 2 } },
      { plugin: "counter", tenant: "b", tool: "echo", config: { tag: "x" } },
    ];
    await using pipeline = await load({ plugins: [{ use, config: { size: 1 } }], bindings });
    const call = async (tenantId?: string, name = "other") => {
      using scope = pipeline.begin({ requestId: "r", ...(tenantId === undefined ? {} : { tenantId }) });
      const { calls, size } = (await scope.invoke("tool_pre_invoke", { ...toolCall, name })).headers;
      return `${calls}/${size}`;
    };
    expect([
      await call(),
      await call("z"),
      await call("a"),
      await call("b"),
      await call("b", "echo"),
    ]).toEqual(["1/1", "2/1", "1/2", "2/2", "1/2"]);
    expect(await call("b")).toBe("3/2");
    expect(created).toEqual([{ size: 1 }, { size: 2 }, { size: 2, tag: "x" }]);
  });

  it("a tenant's overrides are bounded", async () => {
    await using pipeline = await load({ plugins: [{ use: guard }], limits: { tenantOverrides: 1 } });
    await pipeline.setMode("guard", "disabled", { tenant: "a" });
    await pipeline.setMode("guard", "enforce", { tenant: "a" });
    await expect(pipeline.setMode("guard", "disabled", { tenant: "b" })).rejects.toMatchObject({
      code: "conflict",
    });
  });
});

describe("custom hooks", () => {
  it("have a name and a schema, checked on what comes in and on what a plugin makes of it", async () => {
    const beforeMail = defineHook("before_mail", {
      schema: z.object({ to: z.string(), text: z.string().max(20) }),
      writes: ["text"],
    });
    const sign = definePlugin({
      name: "sign",
      version: "1",
      description: "signs",
      hooks: { before_mail: {} },
      create: () => ({
        hooks: { ...beforeMail.handle((mail) => ({ modify: { to: "x", text: `${mail.text} -- me` } })) },
      }),
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use: sign }] }, { hooks: [beforeMail] });
    using scope = pipeline.begin({ requestId: "r" });
    const result = await scope.invoke(beforeMail, { to: "ann", text: "hi" });
    expect(result.payload).toEqual({ to: "ann", text: "hi -- me" });
    expect(result.records[0]?.droppedWrites).toEqual(["to"]);
    expect(() => scope.invoke(beforeMail, { to: 5, text: "" } as never)).toThrow("payload.to");
    expect(() => scope.invoke(beforeMail, { to: "ann", text: "x".repeat(15) })).toThrow("payload.text");
    const anything = defineHook<number>("anything");
    await using loose = await createPluginPipeline({ plugins: [] }, { hooks: [anything] });
    using other = loose.begin({ requestId: "r" });
    expect(await other.invoke(anything, 5)).toMatchObject({ payload: 5 });
  });
});
