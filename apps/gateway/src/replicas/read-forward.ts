import type { IncomingMessage } from "node:http";
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
    const chunks: Buffer[] = [];
    let length = 0;
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
      chunks.push(chunk);
      length += chunk.length;
      if (envelope === undefined) {
        if (!chunk.includes("\n")) {
          if (length > maxEnvelopeBytes) judged(undefined);
          return;
        }
        const bytes = Buffer.concat(chunks.splice(0));
        const end = bytes.indexOf("\n");
        envelope = bytes.toString("latin1", 0, end);
        const rest = bytes.subarray(end + 1);
        chunks.push(rest);
        length = rest.length;
        if (!judged(envelope)) return;
      }
      if (length <= maxBodyBytes) return;
      stop();
      reject(new GatewayError("payload_too_large", `the body is longer than ${maxBodyBytes} bytes`));
    };
    request.on("data", onData);
    request.on("end", () => {
      if (envelope !== undefined) resolve({ envelope, body: Buffer.concat(chunks) });
      else judged(undefined);
    });
    request.on("error", () => reject(new GatewayError("validation_failed", "the request ended too early")));
  });
}
