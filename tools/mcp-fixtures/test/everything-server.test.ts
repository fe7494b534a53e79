import { describe, expect, it } from "vitest";
import { startEverythingServer } from "../src/index.ts";
import { type Connected, connect, type Mode, textOf } from "./connect.ts";

const capabilities = { elicitation: {}, sampling: {}, roots: {} };

async function connectAnswering(url: string, mode: Mode): Promise<Connected> {
  const connected = await connect(url, mode, { capabilities });
  const { client } = connected;
  client.setRequestHandler("elicitation/create", () => ({
    action: "accept",
    content: { name: "Ada", color: "green", ok: true, username: "ada", email: "ada@example.org" },
  }));
  client.setRequestHandler("sampling/createMessage", () => ({
    role: "assistant",
    model: "none",
    content: { type: "text", text: "Paris" },
  }));
  client.setRequestHandler("roots/list", () => ({ roots: [{ uri: "file:///home/ada" }] }));
  return connected;
}

const call = async ({ client }: Connected, name: string, args = {}) =>
  textOf((await client.callTool({ name, arguments: args })) as never);

describe("everything server", () => {
  for (const mode of ["legacy", "auto", "modern"] satisfies Mode[]) {
    describe(`with the official client in ${mode} mode`, () => {
      it("lists, reads, gets and completes", async () => {
        await using server = await startEverythingServer();
        await using connected = await connectAnswering(server.url, mode);
        const { client } = connected;
        const { tools } = await client.listTools();
        expect(tools.map(({ name }) => name)).toEqual(
          expect.arrayContaining([
            "test_simple_text",
            "test_sampling",
            "test_input_required_result_multi_round",
          ]),
        );
        expect(tools.map(({ name }) => name)).not.toContain("test_dynamic_tool");
        const { contents } = await client.readResource({ uri: "test://template/7/data" });
        expect(contents[0]).toMatchObject({
          mimeType: "application/json",
          text: expect.stringContaining('"id":"7"'),
        });
        const prompt = await client.getPrompt({
          name: "test_prompt_with_arguments",
          arguments: { arg1: "a", arg2: "b" },
        });
        expect(prompt.messages[0]?.content).toMatchObject({
          text: "Prompt with arguments: arg1='a', arg2='b'",
        });
        const completed = await client.complete({
          ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
          argument: { name: "arg1", value: "pa" },
        });
        expect(completed.completion.values).toEqual(["paris", "park", "party"]);
      });

      it("asks the client in one round and in several", async () => {
        await using server = await startEverythingServer();
        await using connected = await connectAnswering(server.url, mode);
        expect(await call(connected, "test_sampling", { prompt: "capital?" })).toBe("LLM response: Paris");
        expect(await call(connected, "test_elicitation", { message: "who?" })).toMatch(
          /action=accept.*"ada"/,
        );
        expect(await call(connected, "test_list_roots")).toBe("Roots: file:///home/ada");
        expect(await call(connected, "test_input_required_result_elicitation")).toBe("Hello, Ada!");
        expect(await call(connected, "test_input_required_result_request_state")).toMatch(/^state-ok/);
        expect(await call(connected, "test_input_required_result_multi_round")).toBe("Ada likes green");
        expect(await call(connected, "test_input_required_result_multiple_inputs")).toMatch(
          /^Ada: .*Paris.*1 roots/,
        );
      });

      it("tells of changes", async () => {
        await using server = await startEverythingServer();
        let toolChanges = 0;
        let promptChanges = 0;
        const listChanged = {
          tools: { autoRefresh: false, debounceMs: 0, onChanged: () => toolChanges++ },
          prompts: { autoRefresh: false, debounceMs: 0, onChanged: () => promptChanges++ },
        };
        await using connected = await connect(server.url, mode, { listChanged } as never);
        await connected.client.callTool({ name: "test_trigger_tool_change" });
        await expect.poll(() => toolChanges).toBeGreaterThan(0);
        const { tools } = await connected.client.listTools({}, { cacheMode: "refresh" });
        expect(tools.map(({ name }) => name)).toContain("test_dynamic_tool");
        await connected.client.callTool({ name: "test_trigger_prompt_change" });
        await expect.poll(() => promptChanges).toBeGreaterThan(0);
      });
    });
  }

  it("tells a legacy subscriber that its resource changed", async () => {
    await using server = await startEverythingServer();
    await using connected = await connect(server.url, "legacy");
    const updated: string[] = [];
    connected.client.setNotificationHandler("notifications/resources/updated", ({ params }) => {
      updated.push(params.uri);
    });
    await connected.client.subscribeResource({ uri: "test://watched-resource" });
    await call(connected, "test_trigger_resource_change");
    await expect.poll(() => updated).toEqual(["test://watched-resource"]);
    await connected.client.unsubscribeResource({ uri: "test://watched-resource" });
    await call(connected, "test_trigger_resource_change");
    const { contents } = await connected.client.readResource({ uri: "test://watched-resource" });
    expect(contents[0]).toMatchObject({ text: "watched, version 3" });
    expect(updated).toHaveLength(1);
  });

  it("answers a legacy client that resumes a stream which the server has closed", async () => {
    await using server = await startEverythingServer();
    await using connected = await connect(server.url, "legacy");
    expect(await call(connected, "test_reconnection")).toBe("answered after the stream was closed");
    expect(server.stats().requests["GET"]).toBeGreaterThan(0);
  });

  it("refuses a page of another site", async () => {
    await using server = await startEverythingServer();
    const answer = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", origin: "https://evil.example" },
      body: "{}",
    });
    expect(answer.status).toBe(403);
  });
});
