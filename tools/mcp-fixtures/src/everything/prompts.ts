import { acceptedContent, completable, inputRequired, type McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { askFor, contextAnswer } from "./rounds.ts";
import { image, text } from "./samples.ts";

const user = <Content>(content: Content) => ({ role: "user" as const, content });

const WORDS = ["test", "testing", "paris", "park", "party"];

export function registerPrompts(server: McpServer): void {
  server.registerPrompt("test_simple_prompt", { description: "Needs no arguments." }, () => ({
    messages: [user(text("This is a simple prompt for testing."))],
  }));
  server.registerPrompt(
    "test_prompt_with_arguments",
    {
      description: "Needs two arguments; the first one can be completed.",
      argsSchema: z.object({
        arg1: completable(z.string().describe("First test argument"), (typed) =>
          WORDS.filter((word) => word.startsWith(typed ?? "")),
        ),
        arg2: z.string().describe("Second test argument"),
      }),
    },
    ({ arg1, arg2 }) => ({ messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] }),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    {
      description: "Embeds a resource.",
      argsSchema: z.object({ resourceUri: z.string().describe("URI of the resource to embed") }),
    },
    ({ resourceUri }) => ({
      messages: [
        user({
          type: "resource" as const,
          resource: {
            uri: resourceUri,
            mimeType: "text/plain",
            text: "Embedded resource content for testing.",
          },
        }),
        user(text("Please process the embedded resource above.")),
      ],
    }),
  );
  server.registerPrompt("test_prompt_with_image", { description: "Contains an image." }, () => ({
    messages: [user(image()), user(text("Please analyze the image above."))],
  }));
  server.registerPrompt(
    "test_input_required_result_prompt",
    { description: "Needs an answer of the user." },
    ({ mcpReq }) => {
      const answer = acceptedContent(mcpReq.inputResponses, "user_context", contextAnswer);
      if (answer) return { messages: [user(text(`Use the following context: ${answer.context}`))] };
      const user_context = askFor("context", "What context should the prompt use?");
      return inputRequired({ inputRequests: { user_context } });
    },
  );
}
