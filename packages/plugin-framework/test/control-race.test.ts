import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { type ControlBus, createInProcessBus, createPluginPipeline, type ModeChange } from "../src/index.ts";
import { deferred, fakeTime, toolPlugin } from "./support.ts";

it("PF-I3 an answer that a switch has overtaken is no lost record: no alert, nothing written", async () => {
  const { fake, clock } = fakeTime();
  const shared = createInProcessBus();
  const hold = deferred();
  let holding = false;
  let held = 0;
  let writes = 0;
  const bus: ControlBus = {
    ...shared,
    synchronous: false,
    subscribe: async () => () => undefined,
    write: (...args) => {
      writes++;
      return shared.write(...args);
    },
    read: async (scopes) => {
      const records = await shared.read(scopes);
      if (!holding) return records;
      holding = false;
      held++;
      await hold.promise;
      return records;
    },
  };
  const alerts: string[] = [];
  const plugins = [{ use: toolPlugin("guard", () => undefined) }];
  await using pipeline = await createPluginPipeline(
    { plugins },
    { bus, clock, observer: { controlAlert: ({ kind }) => void alerts.push(kind) } },
  );
  await pipeline.setMode("guard", "permissive", { waitFor: "none" });
  // A poll asks before the switch, and is answered after it.
  holding = true;
  await fake.advance(500);
  await eventually(() => held === 1);
  await pipeline.setMode("guard", "disabled", { waitFor: "none" });
  hold.resolve();
  await fake.advance(500);
  expect(pipeline.explainMode("guard").mode).toBe("disabled");
  expect(alerts).toEqual([]);
  expect(writes).toBe(2);
});

it("PF-I5 an override set while the end of the one before is still being told keeps its own end", async () => {
  const bus = createInProcessBus();
  const told = deferred();
  let telling = false;
  const onModeChange = ({ cause }: ModeChange) => {
    if (cause !== "expiry" || telling) return;
    telling = true;
    return told.promise;
  };
  const use = toolPlugin("guard", () => undefined, {}, { modeAuthority: true, instance: { onModeChange } });
  await using pipeline = await createPluginPipeline({ plugins: [{ use, mode: "disabled" }] }, { bus });
  await pipeline.setMode("guard", "enforce", { ttlMs: 20 });
  await eventually(() => telling);
  await pipeline.setMode("guard", "permissive", { ttlMs: 2_000, waitFor: "none" });
  const [set] = await bus.read(["guard"]);
  told.resolve();
  await eventually(async () => ((await bus.read(["guard"]))[0]?.wipeSeq ?? 0) > (set?.wipeSeq ?? 0));
  expect((await bus.read(["guard"]))[0]).toMatchObject({ mode: "permissive", expiresAt: set?.expiresAt });
  await eventually(() => pipeline.explainMode("guard").mode === "disabled");
});
