import type { McpServer } from "@modelcontextprotocol/server";
import type { EverythingState, LiveInstance } from "./everything-state.ts";
import { text } from "./samples.ts";

const changed = (what: string) => ({ content: [text(`${what} changed`)] });

const show = (item: { enable(): void; disable(): void }, shown: boolean): void => {
  if (shown) item.enable();
  else item.disable();
};

/** Tools that change the catalogue, and a tool and a prompt that come and go by them. */
export function registerChangeTools(server: McpServer, state: EverythingState): LiveInstance {
  const tool = server.registerTool("test_dynamic_tool", { description: "Comes and goes." }, () => ({
    content: [text("here now")],
  }));
  const prompt = server.registerPrompt("test_dynamic_prompt", { description: "Comes and goes." }, () => ({
    messages: [{ role: "user" as const, content: text("here now") }],
  }));
  show(tool, state.toolShown());
  show(prompt, state.promptShown());

  server.registerTool("test_trigger_tool_change", { description: "Changes the list of tools." }, () => {
    state.toggleTool();
    return changed("the list of tools");
  });
  server.registerTool("test_trigger_prompt_change", { description: "Changes the list of prompts." }, () => {
    state.togglePrompt();
    return changed("the list of prompts");
  });
  server.registerTool(
    "test_trigger_resource_change",
    { description: "Changes the watched resource." },
    async () => {
      await state.touchWatched();
      return changed(state.watchedUri);
    },
  );

  const subscriptions = new Set<string>();
  server.server.setRequestHandler("resources/subscribe", ({ params }) => {
    subscriptions.add(params.uri);
    return {};
  });
  server.server.setRequestHandler("resources/unsubscribe", ({ params }) => {
    subscriptions.delete(params.uri);
    return {};
  });
  return {
    server,
    subscriptions,
    showTool: (shown) => show(tool, shown),
    showPrompt: (shown) => show(prompt, shown),
  };
}
