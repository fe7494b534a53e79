import {
  type CallToolResult,
  type InputRequest,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  type McpServer,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import { text } from "./samples.ts";

type Answer = CallToolResult | InputRequiredResult;

const options = (prefix: string, names: readonly string[], label: string) =>
  names.map((name, index) => ({ const: `${prefix}${index + 1}`, title: `${name} ${label}` }));

const ORDINALS = ["First", "Second", "Third"] as const;

/** One property per way in which a schema may offer a choice (SEP-1330). */
const CHOICES = {
  untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
  titledSingle: { type: "string", oneOf: options("value", ORDINALS, "Option") },
  legacyEnum: {
    type: "string",
    enum: ["opt1", "opt2", "opt3"],
    enumNames: ["Option One", "Option Two", "Option Three"],
  },
  untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2", "option3"] } },
  titledMulti: { type: "array", items: { anyOf: options("value", ORDINALS, "Choice") } },
} as const;

/** One property per primitive type, each with a default (SEP-1034). */
const DEFAULTS = {
  name: { type: "string", default: "John Doe" },
  age: { type: "integer", default: 30 },
  score: { type: "number", default: 95.5 },
  status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", default: true },
} as const;

const elicit = (message: string, properties: object, required: string[] = []): InputRequest =>
  inputRequired.elicit({ message, requestedSchema: { type: "object", properties, required } as never });

/**
 * Asks the client one question and phrases its answer. The same handler serves both eras: towards a modern client
 * the question is an `input_required` result, towards a legacy one a request of the server's own.
 */
const ask = (context: ServerContext, question: InputRequest, phrase: (answer: string) => string): Answer => {
  const answer = inputResponse(context.mcpReq.inputResponses, "question");
  switch (answer.kind) {
    case "missing":
      return inputRequired({ inputRequests: { question } });
    case "elicit":
      return {
        content: [text(phrase(`action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`))],
      };
    case "sampling":
      return { content: [text(phrase(JSON.stringify(answer.result.content)))] };
    case "roots":
      return { content: [text(phrase(answer.roots.map((root) => root.uri).join(" ")))] };
  }
};

/** Tools that need something of the client before they can answer. */
export function registerAskingTools(server: McpServer): void {
  server.registerTool(
    "test_sampling",
    { description: "Asks the client's model.", inputSchema: z.object({ prompt: z.string() }) },
    ({ prompt }, context) => {
      const answer = inputResponse(context.mcpReq.inputResponses, "question");
      if (answer.kind !== "sampling") {
        const messages = [{ role: "user" as const, content: text(prompt) }];
        return inputRequired({
          inputRequests: { question: inputRequired.createMessage({ messages, maxTokens: 100 }) },
        });
      }
      const first = [answer.result.content].flat()[0];
      return {
        content: [text(`LLM response: ${first?.type === "text" ? first.text : JSON.stringify(first)}`)],
      };
    },
  );
  server.registerTool(
    "test_elicitation",
    {
      description: "Asks the user for a name and an address.",
      inputSchema: z.object({ message: z.string() }),
    },
    ({ message }, context) => {
      const username = { type: "string", description: "User's response" };
      const email = { type: "string", description: "User's email address" };
      const question = elicit(message, { username, email }, ["username", "email"]);
      return ask(context, question, (answer) => `User response: ${answer}`);
    },
  );
  server.registerTool(
    "test_elicitation_sep1034_defaults",
    { description: "Asks the user, with a default for every field." },
    (context) =>
      ask(context, elicit("Please check these", DEFAULTS), (answer) => `Elicitation completed: ${answer}`),
  );
  server.registerTool(
    "test_elicitation_sep1330_enums",
    { description: "Asks the user to choose, in every way a schema knows." },
    (context) =>
      ask(context, elicit("Please choose", CHOICES), (answer) => `Elicitation completed: ${answer}`),
  );
  server.registerTool("test_list_roots", { description: "Asks the client for its roots." }, (context) =>
    ask(context, inputRequired.listRoots(), (answer) => `Roots: ${answer}`),
  );
  server.registerTool("test_missing_capability", { description: "Needs the client's model." }, (context) => {
    const messages = [{ role: "user" as const, content: text("Say something short.") }];
    return ask(
      context,
      inputRequired.createMessage({ messages, maxTokens: 16 }),
      (answer) => `Sampled: ${answer}`,
    );
  });
}
