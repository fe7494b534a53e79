import type { IncomingMessage } from "node:http";
import { ByteCollector, type Collected, collect, collected } from "@gatewright/mcp-bridge";
import { GatewayError } from "../errors.ts";
import type { MessageMeter } from "./held-messages.ts";

/**
 * Reads a whole request body.
 *
 * @param meter told how much is held of it
 * @throws {GatewayError} `payload_too_large` as soon as more than `maxBytes` are announced or sent; `overloaded` by the meter;
 * `validation_failed` when the client goes away in the middle
 */
export function readBody(request: IncomingMessage, maxBytes: number, meter?: MessageMeter): Promise<Buffer> {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    let body: Collected;
    let length = 0;
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      const kept = length > maxBytes ? undefined : collect(body, chunk);
      const held = kept instanceof ByteCollector ? kept.heldBytes : length;
      const refusal = length > maxBytes ? tooLarge(maxBytes) : refusalOf(meter, held);
      body = refusal === undefined ? kept : undefined;
      if (refusal === undefined) return;
      request.off("data", onData);
      request.resume();
      reject(refusal);
    };
    request.on("data", onData);
    // `on`, not `once`: each comes once anyway, and `once` wraps its function in three objects.
    request.on("end", () => {
      const refusal = body instanceof ByteCollector ? refusalOf(meter, length) : undefined;
      if (refusal === undefined) resolve(collected(body));
      else reject(refusal);
    });
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
