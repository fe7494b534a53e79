/** Dispatch per awaited call, against hookable's callHook and tapable's AsyncSeriesHook, in one run. */
import { createPluginPipeline, definePlugin } from "@gatewright/plugin-framework";
import { createHooks } from "hookable";
import { bench, do_not_optimize, group, run, summary } from "mitata";
import { AsyncSeriesHook } from "tapable";

type Payload = { name: string; args: unknown; headers: Record<string, string> };
const payload: Payload = { name: "search", args: { text: "a few words", limit: 10 }, headers: { a: "b" } };

let sum = 0;
const read = (seen: { readonly name: string }) => {
  sum += seen.name.length;
};
const readLater = async (seen: { readonly name: string }) => read(seen);

async function ours(count: number, handler: typeof read | typeof readLater) {
  const plugins = Array.from({ length: count }, (_, index) => ({
    use: definePlugin({
      name: `plugin${index}`,
      version: "1.0.0",
      description: "reads the name",
      hooks: { tool_pre_invoke: {} },
      create: () => ({ hooks: { tool_pre_invoke: handler } }),
    }),
  }));
  const pipeline = await createPluginPipeline({ plugins });
  const scope = pipeline.begin({ requestId: "r" });
  return () => scope.invoke("tool_pre_invoke", payload);
}

function hookable(count: number, handler: typeof read | typeof readLater) {
  const hooks = createHooks<{ pre: (seen: Payload) => void | Promise<void> }>();
  for (let index = 0; index < count; index++) hooks.hook("pre", handler);
  return () => hooks.callHook("pre", payload);
}

function tapable(count: number, handler: typeof read | typeof readLater) {
  const hook = new AsyncSeriesHook<[Payload]>(["seen"]);
  for (let index = 0; index < count; index++) {
    if (handler === read) hook.tap(`p${index}`, read);
    else hook.tapPromise(`p${index}`, readLater);
  }
  return () => hook.promise(payload);
}

const columns = [
  ["0 handlers", 0, read],
  ["1 sync", 1, read],
  ["1 async", 1, readLater],
  ["5 sync", 5, read],
  ["5 async", 5, readLater],
] as const;

/** What awaiting any object costs here, whoever made it. */
const ready = { allowed: true, payload };
group("floor", () => {
  bench("floor object", async () => do_not_optimize(await (() => ready)()));
  bench("floor undefined", async () => do_not_optimize(await (() => undefined)()));
});

for (const [title, count, handler] of columns) {
  const mine = await ours(count, handler);
  const peer = hookable(count, handler);
  const other = tapable(count, handler);
  group(title, () => {
    summary(() => {
      bench(`gatewright ${title}`, async () => do_not_optimize(await mine())).baseline(true);
      bench(`hookable ${title}`, async () => do_not_optimize(await peer()));
      bench(`tapable ${title}`, async () => do_not_optimize(await other()));
    });
  });
}

if (!process.argv.includes("--table")) {
  await run();
  process.exit(sum > 0 ? 0 : 1);
}

const ROUNDS = 15;
const CALLS = 40_000;

async function round(call: () => unknown): Promise<number> {
  const startedAt = performance.now();
  for (let index = 0; index < CALLS; index++) await call();
  return ((performance.now() - startedAt) / CALLS) * 1e6;
}

/** The best of many short rounds, the contenders taking turns, so that other load on the machine hits them alike. */
async function best(calls: readonly (() => unknown)[]): Promise<number[]> {
  const least = calls.map(() => Number.POSITIVE_INFINITY);
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const [index, call] of calls.entries()) {
      least[index] = Math.min(least[index] ?? 0, await round(call));
    }
  }
  return least;
}

console.log(
  "| ns per awaited call | gatewright | hookable | tapable | ratio to hookable |\n|---|---|---|---|---|",
);
for (const [title, count, handler] of columns) {
  const contenders = [await ours(count, handler), hookable(count, handler), tapable(count, handler)];
  const least = await best(contenders);
  const [mine = 0, peer = 1] = least;
  console.log(`| ${title} | ${least.map((ns) => ns.toFixed(0)).join(" | ")} | ${(mine / peer).toFixed(2)} |`);
}
const [object = 0, nothing = 0] = await best([() => ready, () => undefined]);
console.log(
  `\nAwaiting a ready object costs ${object.toFixed(0)} ns in this run, undefined ${nothing.toFixed(0)} ns.`,
);
process.exit(sum > 0 ? 0 : 1);
