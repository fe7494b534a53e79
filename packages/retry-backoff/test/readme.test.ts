import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { GIVE_UP_REASONS, RETRY_REASONS } from "../src/plugin/index.ts";
import { overrideSchema, policySchema } from "../src/policy-schema.ts";

const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
const section = (title: string) => readme.split(`## ${title}\n`)[1]?.split("\n## ")[0] ?? "";

it("every reason is documented", () => {
  const words = new Set(section("Reasons").match(/[a-z_]+/g));
  expect([...RETRY_REASONS, ...GIVE_UP_REASONS].filter((reason) => !words.has(reason))).toEqual([]);
});

it("every option is documented", () => {
  const named = new Set([...section("Options").matchAll(/`([a-zA-Z]+)`/g)].map(([, name]) => name));
  const options = [...Object.keys(policySchema.shape), ...Object.keys(overrideSchema.shape)];
  expect(options.filter((option) => !named.has(option))).toEqual([]);
});
