import { randomBytes } from "node:crypto";
import { createRequestStateCodec, type InputRequest, inputRequired } from "@modelcontextprotocol/server";
import * as z from "zod";
import { text } from "./samples.ts";

/** What travels between the rounds of one call. */
export interface RoundState {
  readonly step: number;
  readonly name?: string;
}

/** Seals and checks the state that goes through the client between two rounds; one key per process. */
export const roundStates = createRequestStateCodec<RoundState>({ key: randomBytes(32), ttlSeconds: 600 });

/** A question for one string. */
export const askFor = (field: string, message: string): InputRequest =>
  inputRequired.elicit({
    message,
    requestedSchema: { type: "object", properties: { [field]: { type: "string" } }, required: [field] },
  });

/** A question for the client's model. */
export const askModel = (prompt: string, maxTokens: number): InputRequest =>
  inputRequired.createMessage({ messages: [{ role: "user", content: text(prompt) }], maxTokens });

/** A question for a yes. */
export const askToConfirm = (): InputRequest =>
  inputRequired.elicit({
    message: "Please confirm",
    requestedSchema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] },
  });

export const nameAnswer = z.object({ name: z.string() });
export const colorAnswer = z.object({ color: z.string() });
export const contextAnswer = z.object({ context: z.string() });
export const confirmAnswer = z.object({ ok: z.boolean() });
