import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.ts";
import type { MessageMeter } from "./held-messages.ts";

/**
 * Reads a whole request body.
 *
 * @param meter told how much has come
 * @throws {GatewayError} `payload_too_large` as soon as more than `maxBytes` are announced or sent; `overloaded` by the meter;
 * `validation_failed` when the client goes away in the middle
 */
export function readBody(request: IncomingMessage, maxBytes: number, meter?: MessageMeter): Promise<Buffer> {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let length = 0;
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      const refusal = length > maxBytes ? tooLarge(maxBytes) : refusalOf(meter, length);
      if (refusal !== undefined) {
        request.off("data", onData);
        request.resume();
        first = undefined;
        rest = undefined;
        reject(refusal);
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

function refusalOf(meter: MessageMeter | undefined, length: number): unknown {
  try {
    meter?.read(length);
    return undefined;
  } catch (error) {
    return error;
  }
}
