import type { IncomingHttpHeaders } from "node:http";
import { WireError } from "@gatewright/mcp-bridge";

/**
 * Checks that a body is plain JSON in UTF-8.
 *
 * @throws {WireError} `invalid_request` for another media type or charset, or a content encoding
 */
export function checkMediaType(headers: IncomingHttpHeaders): void {
  const type = headers["content-type"];
  if (type !== "application/json") checkType(type ?? "");
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== "identity") {
    throw new WireError("invalid_request", "Content-Encoding is not supported: send the JSON as it is.");
  }
}

function checkType(text: string): void {
  const [type, ...parameters] = text.toLowerCase().split(";");
  if (type?.trim() !== "application/json") {
    throw new WireError("invalid_request", "Content-Type has to be application/json.");
  }
  for (const parameter of parameters) {
    const [name, value = ""] = parameter.split("=");
    if (name?.trim() !== "charset") continue;
    if (!/^(utf-8|utf8)$/.test(value.trim().replace(/^"(.*)"$/, "$1"))) {
      throw new WireError("invalid_request", "The charset of Content-Type has to be utf-8.");
    }
  }
}
