/** One column of the dispatch table, in a process of its own: `dispatch.ts COUNT sync|async`. */
import { createPluginPipeline, definePlugin } from "@gatewright/plugin-framework";
import { createHooks } from "hookable";
import { AsyncSeriesHook } from "tapable";

type Payload = { name: string; args: unknown; headers: Record<string, string> };
type Handler = (seen: { readonly name: string }) => void | Promise<void>;
const payload: Payload = { name: "search", args: { text: "a few words", limit: 10 }, headers: { a: "b" } };

const count = Number(process.argv[2]);
let sum = 0;
const read: Handler = (seen) => {
  sum += seen.name.length;
};
const readLater: Handler = async (seen) => read(seen);
const handler = process.argv[3] === "async" ? readLater : read;

async function gatewright(): Promise<() => unknown> {
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

function hookable(): () => unknown {
  const hooks = createHooks<{ pre: Handler }>();
  for (let index = 0; index < count; index++) hooks.hook("pre", handler);
  return () => hooks.callHook("pre", payload);
}

function tapable(): () => unknown {
  const hook = new AsyncSeriesHook<[Payload]>(["seen"]);
  for (let index = 0; index < count; index++) {
    if (handler === read) hook.tap(`p${index}`, read);
    else hook.tapPromise(`p${index}`, async (seen) => read(seen));
  }
  return () => hook.promise(payload);
}

const ready = { allowed: true, payload };
const contenders: Readonly<Record<string, () => unknown>> = {
  gatewright: await gatewright(),
  hookable: hookable(),
  tapable: tapable(),
  "any object": () => ready,
};

const ROUNDS = 41;
const WARM_UP = 10;
const CALLS = 10_000;

/** CPU nanoseconds a call, its `await` included; CPU time, because others use the machine too. */
async function round(call: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  for (let index = 0; index < CALLS; index++) await call();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / CALLS) * 1e3;
}

const rounds: Readonly<Record<string, number[]>> = Object.fromEntries(
  Object.keys(contenders).map((name) => [name, []]),
);
for (let turn = 0; turn < ROUNDS; turn++) {
  for (const [name, call] of Object.entries(contenders)) {
    const ns = await round(call);
    if (turn >= WARM_UP) rounds[name]?.push(ns);
  }
}
const of = (name: string): readonly number[] => rounds[name] ?? [];
const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
const ratioTo = (name: string) =>
  median(of("gatewright").map((ours, turn) => ours / (of(name)[turn] ?? Number.NaN)));
const ns = Object.fromEntries(Object.keys(rounds).map((name) => [name, median(of(name))]));
process.send?.({ ns, toHookable: ratioTo("hookable"), toFloor: ratioTo("any object") }, () => {
  process.exit(sum >= 0 ? 0 : 1);
});
