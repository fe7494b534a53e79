import { createHash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { GatewayError } from "../../errors.ts";
import type { IdempotencyKey } from "../../registry/registry.ts";
import type { RestRequest, RestRoute } from "./route.ts";

/** The `Idempotency-Key` of a write as the registry keeps it: told apart by caller, and bound to what was asked for. */
export function idempotencyKeyOf(raw: FastifyRequest): IdempotencyKey | undefined {
  const key = raw.headers["idempotency-key"];
  if (key === undefined || raw.method === "GET") return undefined;
  if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new GatewayError("validation_failed", "Idempotency-Key: has to be 1 to 255 visible characters", {
      details: { path: "Idempotency-Key" },
    });
  }
  const path = raw.url.split("?")[0];
  return {
    id: hashOf(raw.principal?.key ?? "", key),
    fingerprint: hashOf(raw.method, path ?? "", JSON.stringify(raw.body ?? null)),
  };
}

/**
 * Runs a write that a key allows once. Asked for again it does nothing, and is answered by what the first one has written
 * as it is now; so is one that comes while the first is under way.
 */
export async function writeOnce(route: RestRoute, request: RestRequest<unknown, unknown>): Promise<unknown> {
  const { show } = route;
  if (show === undefined || idempotencyKeyOf(request.raw) === undefined) return route.handle(request);
  const repeated = async (): Promise<{ readonly answer: unknown } | undefined> => {
    const target = await request.registry.written();
    if (target === undefined) return undefined;
    request.reply.header("idempotent-replayed", "true");
    return { answer: await show(target, request) };
  };
  const before = await repeated();
  if (before !== undefined) return before.answer;
  try {
    return await route.handle(request);
  } catch (error) {
    // Whoever was faster with this key has taken the name, or has deleted what was to be deleted.
    const lost = GatewayError.is(error) && (error.code === "conflict" || error.code === "not_found");
    const meanwhile = lost ? await repeated() : undefined;
    if (meanwhile === undefined) throw error;
    return meanwhile.answer;
  }
}

function hashOf(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
