import type { IncomingMessage } from "node:http";
import { ByteCollector } from "@gatewright/mcp-bridge";
import { GatewayError } from "../errors.ts";

/** A request as another replica sent it. */
export interface ForwardParts {
  readonly envelope: string;
  readonly body: Buffer;
}

/** What is read of a request, and from whom. */
export interface ReadForwardOptions {
  readonly maxBodyBytes: number;
  /** Why an envelope is a stranger's; undefined when a replica signed it. */
  readonly judge: (envelope: string | undefined) => string | undefined;
}

/** Longest envelope: the head of a request, which is bounded by the edge, twice encoded. */
const maxEnvelopeBytes = 262_144;

/**
 * Reads a forwarded request: the line of its envelope, and the rest only when a replica signed that; else the word of
 * `judge`.
 *
 * @throws {GatewayError} `payload_too_large` and `validation_failed`, when it is longer than allowed or breaks off
 */
export function readForward(
  request: IncomingMessage,
  { maxBodyBytes, judge }: ReadForwardOptions,
): Promise<ForwardParts | string> {
  return new Promise((resolve, reject) => {
    const bytes = new ByteCollector();
    let envelope: string | undefined;
    const stop = () => {
      request.off("data", onData);
      request.pause();
    };
    const judged = (text: string | undefined) => {
      const refusal = judge(text);
      if (refusal === undefined) return true;
      stop();
      resolve(refusal);
      return false;
    };
    const onData = (chunk: Buffer) => {
      bytes.add(chunk);
      if (envelope === undefined) {
        if (!chunk.includes("\n")) {
          if (bytes.length > maxEnvelopeBytes) judged(undefined);
          return;
        }
        const begun = bytes.take();
        const end = begun.indexOf("\n");
        envelope = begun.toString("latin1", 0, end);
        bytes.add(begun.subarray(end + 1));
        if (!judged(envelope)) return;
      }
      if (bytes.length <= maxBodyBytes) return;
      stop();
      reject(new GatewayError("payload_too_large", `the body is longer than ${maxBodyBytes} bytes`));
    };
    request.on("data", onData);
    request.on("end", () => {
      if (envelope !== undefined) resolve({ envelope, body: bytes.take() });
      else judged(undefined);
    });
    request.on("error", () => reject(new GatewayError("validation_failed", "the request ended too early")));
  });
}
