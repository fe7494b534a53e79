import { WireError } from "./errors.ts";
import { decodeHeaderValue, headerOf, type IncomingHeaders } from "./headers.ts";
import type { RequestMessage } from "./message.ts";
import { textOf } from "./splice.ts";

/** Which member of `params` the `Mcp-Name` header mirrors, by method. */
const NAME_SOURCE: { readonly [method: string]: "name" | "uri" | "taskId" } = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId",
};

/** The member of `params` that `Mcp-Name` mirrors for a method; `undefined` when the method has no such header. */
export function mirroredMember(method: string): "name" | "uri" | "taskId" | undefined {
  return Object.hasOwn(NAME_SOURCE, method) ? NAME_SOURCE[method] : undefined;
}

/**
 * Checks the mirrored headers of a modern request against its body (2026-07-28, "Server Validation"):
 * `MCP-Protocol-Version` and `Mcp-Method` present, `Mcp-Method` equal, `Mcp-Name` present and equal after decoding.
 *
 * @returns the refusal (HTTP 400, −32020), or nothing
 */
export function checkHeaders(headers: IncomingHeaders, message: RequestMessage): WireError | undefined {
  const refuse = (header: string, text: string) =>
    new WireError("header_mismatch", `Header mismatch: ${text}`, {
      idText: textOf(message.bytes, message.idSpan),
      details: { header },
    });
  if (headerOf(headers, "mcp-protocol-version") === undefined) {
    return refuse("MCP-Protocol-Version", "the required header MCP-Protocol-Version is missing");
  }
  const method = headerOf(headers, "mcp-method");
  if (method === undefined) return refuse("Mcp-Method", "the required header Mcp-Method is missing");
  if (method !== message.method) {
    return refuse(
      "Mcp-Method",
      `Mcp-Method '${method}' does not match the body's method '${message.method}'`,
    );
  }
  const member = mirroredMember(message.method);
  const value = member === undefined ? undefined : message.params?.[member];
  if (member === undefined || typeof value !== "string") return undefined;
  const name = headerOf(headers, "mcp-name");
  if (name === undefined) return refuse("Mcp-Name", "the required header Mcp-Name is missing");
  const decoded = decodeHeaderValue(name);
  if (decoded === undefined) return refuse("Mcp-Name", "Mcp-Name is not valid base64");
  if (decoded === value) return undefined;
  return refuse("Mcp-Name", `Mcp-Name '${decoded}' does not match the body's params.${member} '${value}'`);
}
