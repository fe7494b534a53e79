import { recordRow } from "@gatewright/bench";
import type { PluginContext, PostPayload } from "@gatewright/plugin-framework";
import { loadBaseline } from "./baseline.ts";
import { compare } from "./measure.ts";

type Create = typeof import("@gatewright/retry-backoff/plugin").retryPlugin;

const SHAPES: Readonly<Record<string, unknown>> = {
  is_error: { isError: true, content: [{ type: "text", text: "failed" }] },
  "status 500": { structuredContent: { status_code: 500 }, content: [] },
  ok: { content: [{ type: "text", text: "fine" }] },
  "status 200": { structuredContent: { status_code: 200 }, content: [] },
};
const TOOLS = 50;
const CALLS_PER_TOOL = 40;
const ROUNDS = 100; // 50 tools × 40 calls × 100 = 200 000 of each shape

async function runnerOf(retryPlugin: Create): Promise<Record<string, () => void>> {
  const instance = await retryPlugin().create({ budget: false, maxRetries: 2 }, { name: "retry" } as never);
  const handle = instance.hooks.tool_post_invoke;
  const { signal } = new AbortController();
  const context = { requestId: "r", signal, state: new Map() } as unknown as PluginContext;
  return Object.fromEntries(
    Object.entries(SHAPES).map(([shape, result]) => {
      const payloads = Array.from({ length: TOOLS }, (_, i): PostPayload => {
        const hints = { annotations: { idempotentHint: true }, serverTrusted: true };
        return { name: `tool_${i}`, outcome: { kind: "result", result }, attempt: 1, ...hints };
      });
      const run = () => {
        for (const payload of payloads) for (let i = 0; i < CALLS_PER_TOOL; i++) handle?.(payload, context);
      };
      return [shape, run];
    }),
  );
}

/** The plugin on the shapes of the reference pull request, now and as the last release had it. */
export async function benchReferenceShapes(): Promise<void> {
  const { retryPlugin } = await import("@gatewright/retry-backoff/plugin");
  const current = await runnerOf(retryPlugin);
  const baseline = await loadBaseline();
  const before = baseline && (await runnerOf(baseline.retryPlugin));
  for (const shape of Object.keys(SHAPES)) {
    const now = current[shape] as () => void;
    const then = before?.[shape];
    const times = await compare({ now, ...(then && { then }) }, { rounds: ROUNDS, calls: 1 });
    const perCall = (ns: number | undefined) => (ns ?? Number.NaN) / (TOOLS * CALLS_PER_TOOL);
    recordRow({
      subject: "retry-backoff",
      what: `plugin, ${shape}, 200 000 calls on ${TOOLS} tools`,
      unit: "ns",
      better: "less",
      ours: perCall(times["now"]),
      peers: baseline && then ? { [baseline.name]: perCall(times["then"]) } : {},
    });
  }
}
