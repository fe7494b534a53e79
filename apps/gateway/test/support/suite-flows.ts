import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { modernParams } from "./socket-client.ts";
import type { TestGateway } from "./test-gateway.ts";

/** How the client of a scenario reaches the suite's server through the gateway. */
export interface SuiteFront {
  readonly gateway: TestGateway;
  readonly path: string;
  /** `auto`: the newest revision that is served; `legacy`: a session. */
  readonly mode: "auto" | "legacy";
  /** What is put before names: the upstream's slug, where several are served as one. */
  readonly prefix: string;
}

/** A task of the suite. */
export interface SuiteTask {
  readonly url: string;
  readonly scenario: string;
  readonly context: {
    readonly toolCalls?: readonly { readonly name: string; readonly arguments: Record<string, unknown> }[];
  };
}

type Flow = (front: SuiteFront, task: SuiteTask) => Promise<void>;

/** What the client does in each scenario. The suite checks what its server gets to see of it. */
export const flows: Readonly<Record<string, Flow>> = {
  async tools_call(front) {
    await using client = await connect(front);
    await client.listTools();
    await client.callTool({ name: `${front.prefix}add_numbers`, arguments: { a: 2, b: 3 } });
  },
  async "request-metadata"(front) {
    await stateless(front, 1, "server/discover");
    await stateless(front, 2, "tools/list");
    await stateless(front, 3, "prompts/list");
  },
  async "sse-retry"(front) {
    await using client = await connect(front);
    await client.callTool({ name: `${front.prefix}test_reconnection`, arguments: {} });
  },
  async "elicitation-sep1034-client-defaults"(front) {
    await using client = await connect(front, { elicitation: { form: { applyDefaults: true } } });
    client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: {} }));
    await client.callTool({ name: `${front.prefix}test_client_elicitation_defaults`, arguments: {} });
  },
  async "sep-2322-client-request-state"(front) {
    await using client = await connect(front, { elicitation: {} });
    const content = { confirmed: true };
    client.setRequestHandler("elicitation/create", () => ({ action: "accept", content }));
    await client.listTools();
    const call = (name: string) => client.callTool({ name: `${front.prefix}${name}`, arguments: {} });
    await Promise.all([call("test_mrtr_echo_state"), call("test_mrtr_unrelated")]);
    await call("test_mrtr_no_state");
    // The official client refuses what this tool answers: a result that does not say what it is.
    await call("test_mrtr_no_result_type").catch(() => undefined);
  },
  async "http-standard-headers"(front) {
    await using client = await connect(front);
    const { tools } = await client.listTools();
    for (const { name } of tools) await client.callTool({ name, arguments: {} });
    const { resources } = await client.listResources();
    for (const { uri } of resources) await client.readResource({ uri });
    const { prompts } = await client.listPrompts();
    for (const { name } of prompts) await client.getPrompt({ name });
  },
  async "http-custom-headers"(front, { context }) {
    await using client = await connect(front);
    await client.listTools();
    for (const { name, arguments: args } of context.toolCalls ?? []) {
      await client.callTool({ name: `${front.prefix}${name}`, arguments: args });
    }
  },
  async "http-invalid-tool-headers"(front) {
    await using client = await connect(front);
    const { tools } = await client.listTools();
    for (const { name } of tools) await client.callTool({ name, arguments: { region: "us-west1" } });
  },
  async "json-schema-ref-no-deref"(front) {
    await using client = await connect(front);
    await client.listTools();
  },
  async "json-schema-2020-12-preservation"(front) {
    await using client = await connect(front);
    const { tools } = await client.listTools();
    const focal = tools.find(({ name }) => name === `${front.prefix}json_schema_2020_12_tool`);
    const args = { schema: focal?.inputSchema };
    await client.callTool({ name: `${front.prefix}json_schema_echo`, arguments: args });
  },
};

async function connect(front: SuiteFront, capabilities = {}): Promise<Client & AsyncDisposable> {
  const { gateway, path, mode } = front;
  const client = new Client(
    { name: "suite-client", version: "1" },
    { capabilities, versionNegotiation: { mode } },
  );
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${gateway.url}${path}`), {
      requestInit: { headers: { authorization: `Bearer ${gateway.token}` } },
    }),
  );
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}

async function stateless({ gateway, path }: SuiteFront, id: number, method: string): Promise<void> {
  const answer = await gateway.rpc(
    path,
    { jsonrpc: "2.0", id, method, params: modernParams() },
    { "mcp-protocol-version": "2026-07-28", "mcp-method": method },
  );
  if (answer.body.error !== undefined) throw new Error(JSON.stringify(answer.body));
}
