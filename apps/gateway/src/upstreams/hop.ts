import { createHmac } from "node:crypto";
import { GatewayError } from "../errors.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";

/** Request header that names the deployments which a request has come through. */
export const hopHeader = "x-gatewright-hop";

/** JSON-RPC number of the refusal of a request that has been here before. */
export const loopRpcCode = -31_007;

/** Where an item of a catalogue, listed by another gateway, says which deployments lie behind it. */
const viaKey = "io.gatewright/via";

/** The name of a deployment for {@link hopHeader}: the same on all its replicas, and says nothing of its secret. */
export function hopIdOf(secret: GatewaySecret): string {
  return createHmac("sha256", secret.key("forward")).update("hop").digest("hex").slice(0, 16);
}

/** Most deployments of a chain that are told apart. */
const maxHops = 16;

/**
 * The deployments that a request says it has come through, each once and in the order of their names, so that the same
 * ones are the same text; empty for a client. What is no name of a deployment is left out.
 */
export function chainOf(header: string | readonly string[] | undefined): string {
  if (header === undefined) return "";
  const names = String(header).match(/\b[0-9a-f]{16}\b/g) ?? [];
  return [...new Set(names)].sort().slice(0, maxHops).join(", ");
}

/** The deployments that an item came through. */
export function viaOf(item: Readonly<Record<string, unknown>>): readonly unknown[] {
  const via = (item["_meta"] as Readonly<Record<string, unknown>> | null | undefined)?.[viaKey];
  return Array.isArray(via) ? via : [];
}

/** What a list says of an item to another gateway, so that a circle of gateways does not list itself. */
export function withVia(item: Readonly<Record<string, unknown>>, hopId: string): Record<string, unknown> {
  const meta = item["_meta"] as Readonly<Record<string, unknown>> | undefined;
  return { ...item, _meta: { ...meta, [viaKey]: [...viaOf(item), hopId] } };
}

/** The refusal of a request that has been here before. */
export function loopRefusal(): GatewayError {
  return new GatewayError(
    "validation_failed",
    "The request has come through this gateway before: an upstream leads back to it.",
    { rpcCode: loopRpcCode, publicCode: "loop_detected" },
  );
}
