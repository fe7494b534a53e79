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

const { benchmarks } = (await run({
  format: process.argv.includes("--table") ? "quiet" : "mitata",
})) as unknown as {
  benchmarks: { alias: string; runs: { stats?: { avg: number; p50: number } }[] }[];
};
const median = (name: string) =>
  benchmarks.find(({ alias }) => alias === name)?.runs[0]?.stats?.p50 ?? Number.NaN;
console.log(
  "\n| median ns per awaited call | gatewright | hookable | tapable | ratio to hookable |\n|---|---|---|---|---|",
);
for (const [title] of columns) {
  const [mine, peer, other] = ["gatewright", "hookable", "tapable"].map((who) => median(`${who} ${title}`));
  const cells = [mine, peer, other].map((ns) => (ns ?? Number.NaN).toFixed(0));
  console.log(`| ${title} | ${cells.join(" | ")} | ${((mine ?? 0) / (peer ?? 1)).toFixed(2)} |`);
}
process.exit(sum > 0 ? 0 : 1);
