import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { RetryMetrics } from "../src/metrics/retry-metrics.ts";
import type { UpstreamRecord } from "../src/registry/records.ts";
import { wireRetry } from "../src/wiring/retry-backoff.ts";

const upstream = { id: "up", definition: { stateless: true } } as UpstreamRecord;
const slow = { baseMs: 60_000, maxMs: 60_000, jitter: "none" } as const;

async function wire() {
  const { definition, layer } = await wireRetry(gatewayConfig.parse({}), {
    metrics: new RetryMetrics(),
    circuitOpen: () => false,
    enabled: () => true,
    onWarning: () => undefined,
  });
  return { layer, use: (policy: object) => definition.create(policy as never, {} as never) };
}

it("RB-13 a call whose policy was replaced during its attempt waits visibly, and ends with stop()", async () => {
  const { layer, use } = await wire();
  await use(slow);
  const attempt = Promise.withResolvers<never>();
  let attempts = 0;
  const failed = layer
    .run({ method: "tools/list", upstream }, () => {
      attempts++;
      return attempt.promise;
    })
    .catch((error: Error) => error.message);
  await eventually(() => attempts === 1);
  await use({ ...slow, maxRetries: 1 });
  await use({});
  attempt.reject(Object.assign(new Error("busy"), { code: "upstream_unreachable", phase: "not_sent" }));
  await eventually(() => layer.stats().waiting === 1);
  layer.stop();
  expect(await failed).toBe("busy");
  expect(attempts).toBe(1);
  expect(layer.stats().waiting).toBe(0);
});

it("RB-13 no hedge starts after stop(), though its policy was replaced", async () => {
  const { layer, use } = await wire();
  await use({ hedge: { delayMs: 30 } });
  const policy = layer.limitsOf("read", undefined);
  if (policy === undefined) throw new Error("the policy hedges");
  const sent: boolean[] = [];
  const answer = Promise.withResolvers<never>();
  const { signal } = new AbortController();
  const hints = { annotations: { readOnlyHint: true }, serverTrusted: true, hasRoom: () => true };
  const call = { name: "read", upstream, tenant: undefined, signal, ...hints };
  const ended = layer
    .hedged(policy, call, (_, hedge) => {
      sent.push(hedge);
      return answer.promise;
    })
    .catch((error: Error) => error.message);
  await eventually(() => sent.length === 1);
  await use({});
  layer.stop();
  await new Promise((resolve) => setTimeout(resolve, 100));
  answer.reject(new Error("late"));
  expect(await ended).toBe("late");
  expect(sent).toEqual([false]);
});

it("RB-13 what still comes after stop() gets one attempt", async () => {
  const { layer, use } = await wire();
  await use({ hedge: { delayMs: 1 }, maxRetries: 3 });
  layer.stop();
  let attempts = 0;
  const fails = () => {
    attempts++;
    return Promise.reject(Object.assign(new Error("busy"), { phase: "not_sent" }));
  };
  await expect(layer.run({ method: "tools/list", upstream }, fails)).rejects.toThrow("busy");
  const policy = layer.limitsOf("read", undefined);
  if (policy === undefined) throw new Error("the policy hedges");
  const { signal } = new AbortController();
  const hints = { annotations: { readOnlyHint: true }, serverTrusted: true, hasRoom: () => true };
  const call = { name: "read", upstream, tenant: undefined, signal, ...hints };
  await expect(layer.hedged(policy, call, fails)).rejects.toThrow("busy");
  expect(attempts).toBe(2);
});
