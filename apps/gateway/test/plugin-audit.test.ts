import type { ModeEvent } from "@gatewright/plugin-framework";
import { expect, it } from "vitest";
import { PluginJournal } from "../src/plugins/plugin-journal.ts";
import { startTestGateway } from "./support/test-gateway.ts";

const change = (next: "enforce" | "disabled", at: number, more: Partial<ModeEvent> = {}): ModeEvent => ({
  plugin: "dlp",
  scope: "dlp",
  previous: next === "enforce" ? "disabled" : "enforce",
  next,
  rev: 0,
  setBy: "reload",
  at,
  ...more,
});

it("what reloads change again and again is in the audit as often, and once for all replicas", async () => {
  await using gateway = await startTestGateway();
  const { plugins } = gateway.core.registry;
  const failures: unknown[] = [];
  const replicas = [1, 2].map(() => new PluginJournal(plugins, (error) => void failures.push(error)));
  const events = [
    ...(["disabled", "enforce", "disabled", "enforce"] as const).map((next, at) => change(next, 60_000 + at)),
    // Long after, and by a replica that was started anew.
    change("disabled", 600_000),
    change("disabled", 600_001, { setBy: "ann", rev: 7 }),
  ];
  replicas.push(new PluginJournal(plugins, (error) => void failures.push(error)));
  for (const [index, event] of events.entries()) {
    for (const journal of index < 4 ? replicas.slice(0, 2) : replicas) {
      journal.observer.modeChange?.({ ...event });
      await journal.settled();
    }
  }
  const page = await plugins.events({ limit: 100, offset: 0 });
  expect(page.items).toEqual(events.toReversed());
  expect(failures).toEqual([]);
});

it("a plugin that two files switch off and on by turns leaves every turn in the audit", async () => {
  await using gateway = await startTestGateway();
  const config = gateway.core.liveConfig.current;
  const limiter = (mode: "enforce" | "disabled") => ({
    ...config,
    plugins: [{ name: "rate_limiter", mode, config: {} }],
  });
  for (const mode of ["disabled", "enforce", "disabled"] as const)
    await gateway.core.liveConfig.apply(limiter(mode));
  await gateway.core.control.journal.settled();
  const { body } = await gateway.rest("GET", "/admin/audit");
  expect(body.items.map(({ next, setBy }: ModeEvent) => `${next} ${setBy}`).sort()).toEqual([
    "disabled reload",
    "disabled reload",
    "enforce reload",
  ]);
});
