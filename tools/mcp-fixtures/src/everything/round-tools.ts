import {
  acceptedContent,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  type InputRequest,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  type McpServer,
  type ServerContext,
} from "@modelcontextprotocol/server";
import {
  askFor,
  askModel,
  askToConfirm,
  colorAnswer,
  confirmAnswer,
  nameAnswer,
  roundStates,
} from "./rounds.ts";
import { text } from "./samples.ts";

type Answer = CallToolResult | InputRequiredResult;
type Handler = (context: ServerContext) => Answer | Promise<Answer>;

const done = (value: string): CallToolResult => ({ content: [text(value)] });

const elicitation: Handler = ({ mcpReq }) => {
  const answer = acceptedContent(mcpReq.inputResponses, "user_name", nameAnswer);
  if (answer) return done(`Hello, ${answer.name}!`);
  return inputRequired({ inputRequests: { user_name: askFor("name", "What is your name?") } });
};

const sampling: Handler = ({ mcpReq }) => {
  const answer = inputResponse(mcpReq.inputResponses, "capital_question");
  if (answer.kind === "sampling") return done(JSON.stringify(answer.result.content));
  return inputRequired({
    inputRequests: { capital_question: askModel("What is the capital of France?", 100) },
  });
};

const listRoots: Handler = ({ mcpReq }) => {
  const answer = inputResponse(mcpReq.inputResponses, "client_roots");
  if (answer.kind === "roots") return done(`Roots: ${answer.roots.map((root) => root.uri).join(" ")}`);
  return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
};

/** Completes only with the answer and the sealed state of its own first round. */
const confirmed: Handler = async ({ mcpReq }) => {
  const answer = acceptedContent(mcpReq.inputResponses, "confirm", confirmAnswer);
  if (answer && mcpReq.requestState<{ step: number }>()?.step === 1) return done(`state-ok, ok=${answer.ok}`);
  return inputRequired({
    inputRequests: { confirm: askToConfirm() },
    requestState: await roundStates.mint({ step: 1 }),
  });
};

const multipleInputs: Handler = async ({ mcpReq }) => {
  const name = acceptedContent(mcpReq.inputResponses, "user_name", nameAnswer);
  const greeting = inputResponse(mcpReq.inputResponses, "greeting");
  const roots = inputResponse(mcpReq.inputResponses, "client_roots");
  if (name && greeting.kind === "sampling" && roots.kind === "roots") {
    return done(`${name.name}: ${JSON.stringify(greeting.result.content)}, ${roots.roots.length} roots`);
  }
  return inputRequired({
    inputRequests: {
      user_name: askFor("name", "What is your name?"),
      greeting: askModel("Generate a greeting", 50),
      client_roots: inputRequired.listRoots(),
    },
    requestState: await roundStates.mint({ step: 1 }),
  });
};

const multiRound: Handler = async ({ mcpReq }) => {
  const state = mcpReq.requestState<{ step: number; name?: string }>();
  const color = acceptedContent(mcpReq.inputResponses, "step2", colorAnswer);
  if (state?.step === 2 && color) return done(`${state.name} likes ${color.color}`);
  const name = state?.name ?? acceptedContent(mcpReq.inputResponses, "step1", nameAnswer)?.name;
  if (state !== undefined && name !== undefined) {
    return inputRequired({
      inputRequests: { step2: askFor("color", "Step 2: What is your favorite color?") },
      requestState: await roundStates.mint({ step: 2, name }),
    });
  }
  return inputRequired({
    inputRequests: { step1: askFor("name", "Step 1: What is your name?") },
    requestState: await roundStates.mint({ step: 1 }),
  });
};

/** Asks in every way that this client has declared, and in no other. */
const capabilities =
  (server: McpServer): Handler =>
  ({ mcpReq }) => {
    if (Object.keys(mcpReq.inputResponses ?? {}).length > 0) return done("answered");
    const envelope = mcpReq.envelope as Readonly<Record<string, unknown>> | undefined;
    const perRequest = envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
    const declared = perRequest ?? server.server.getClientCapabilities() ?? {};
    const inputRequests: Record<string, InputRequest> = {
      ...(declared.elicitation ? { user_name: askFor("name", "What is your name?") } : {}),
      ...(declared.sampling ? { greeting: askModel("Generate a greeting", 50) } : {}),
      ...(declared.roots ? { client_roots: inputRequired.listRoots() } : {}),
    };
    if (Object.keys(inputRequests).length === 0) return done("nothing to ask of this client");
    return inputRequired({ inputRequests });
  };

/** Tools that need several rounds (SEP-2322). */
export function registerRoundTools(server: McpServer): void {
  const handlers: Readonly<Record<string, Handler>> = {
    elicitation,
    sampling,
    list_roots: listRoots,
    request_state: confirmed,
    tampered_state: confirmed,
    multiple_inputs: multipleInputs,
    multi_round: multiRound,
    capabilities: capabilities(server),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    const description = `Needs further rounds: ${name.replaceAll("_", " ")}.`;
    server.registerTool(`test_input_required_result_${name}`, { description }, handler);
  }
}
