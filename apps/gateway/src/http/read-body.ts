import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";

/**
 * Reads a whole request body.
 *
 * @throws {GatewayError} `payload_too_large` as soon as more than `maxBytes` are announced or sent;
 * `validation_failed` when the client goes away in the middle
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let length = 0;
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) {
        request.off("data", onData);
        request.resume();
        reject(tooLarge(maxBytes));
      } else if (first === undefined) first = chunk;
      else if (rest === undefined) rest = [first, chunk];
      else rest.push(chunk);
    };
    request.on("data", onData);
    // `on`, not `once`: each comes once anyway, and `once` wraps its function in three objects.
    request.on("end", () =>
      resolve(rest === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat(rest, length)),
    );
    request.on("error", () => reject(new GatewayError("validation_failed", "the request ended too early")));
  });
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError("payload_too_large", `the body is longer than ${maxBytes} bytes`);
}
