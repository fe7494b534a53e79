import { join } from "node:path";

const FILES = {
  "echo-stdio": "echo-stdio.ts",
  "slow-stdio": "slow-stdio.ts",
  "crash-stdio": "crash-stdio.ts",
  "counter-stdio": "counter-stdio.ts",
  "everything-stdio": "everything-stdio.ts",
  "plugin-stdio": "plugin-stdio.ts",
  "stubborn-stdio": "stubborn-stdio.ts",
  "stubborn-wrapper": "stubborn-wrapper.sh",
} as const;

/** The stdio programs of this package. */
export type StdioFixture = keyof typeof FILES;

/** How to start a program: what `spawn` takes. */
export interface FixtureCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The absolute path of a stdio program; all but the wrapper (a `sh` script) are run by node ≥ 22.19. */
export function fixturePath(name: StdioFixture): string {
  return join(import.meta.dirname, "stdio", FILES[name]);
}

/** The command of a stdio program, run by the node that asks; `env` is to be added to the child's environment. */
export function fixtureCommand(name: StdioFixture): FixtureCommand {
  const path = fixturePath(name);
  if (path.endsWith(".sh"))
    return { command: "/bin/sh", args: [path], env: { FIXTURE_NODE: process.execPath } };
  return { command: process.execPath, args: [path], env: {} };
}
