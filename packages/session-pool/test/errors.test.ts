import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { RETRYABLE } from "../src/errors.ts";

it("every error code is in the README, with whether it is retryable", () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const rows = readme.matchAll(/^\| `([a-z_]+)` +\| (yes|no) +\|/gm);
  const documented = Object.fromEntries([...rows].map(([, code, retryable]) => [code, retryable === "yes"]));
  expect(documented).toEqual(RETRYABLE);
});
