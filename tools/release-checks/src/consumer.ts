import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./published-packages.ts";
import { type Finished, run } from "./run.ts";

/** A project outside the workspace that uses packed packages as a stranger would. */
export interface Consumer {
  readonly folder: string;
  /** Type-checks all its files with `skipLibCheck` off. */
  typecheck(): Promise<Finished>;
  /** Runs one of its files on the given Node binary. */
  execute(node: string, file: string, env?: NodeJS.ProcessEnv): Promise<Finished>;
}

/** Node versions that consumers run on: the one of development and the oldest line supported. */
export const nodes = {
  "Node 24": join(root, "node_modules", "node", "bin", "node"),
  "Node 22": join(import.meta.dirname, "..", "node_modules", "node-22", "bin", "node"),
} as const;

/**
 * Creates the project and installs its dependencies, from the local store where that has them.
 * @param folder a folder that does not exist yet
 * @param dependencies package name → version range or `file:` tarball
 * @param files file name → TypeScript text
 * @throws Error with the installer's output
 */
export async function createConsumer(
  folder: string,
  dependencies: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>>,
): Promise<Consumer> {
  mkdirSync(folder, { recursive: true });
  const manifest = { name: "consumer", private: true, type: "module", dependencies };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2));
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: Object.keys(files) }),
  );
  // Peers are what the test names, nothing more: a package must work without its optional ones.
  writeFileSync(
    join(folder, "pnpm-workspace.yaml"),
    "packages: []\nautoInstallPeers: false\nstrictPeerDependencies: false\n",
  );
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const installed = await run("pnpm", ["install", "--prefer-offline", "--no-frozen-lockfile"], {
    cwd: folder,
  });
  if (installed.code !== 0) throw new Error(`The consumer could not be installed:\n${installed.output}`);
  return {
    folder,
    typecheck: () => run(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.json"], { cwd: folder }),
    execute: (node, file, env = process.env) => run(node, [file], { cwd: folder, env, timeoutMs: 60_000 }),
  };
}

const compilerOptions = {
  target: "es2024",
  lib: ["es2024", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  noEmit: true,
};
