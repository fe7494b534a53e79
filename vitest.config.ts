import { readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

const root = import.meta.dirname;
const folders = ["packages", "apps", "tools"].flatMap((group) =>
  readdirSync(join(root, group)).map((name) => ({ name, folder: join(group, name) })),
);

const coverageOf = (folder: string, statements: number) => [`${folder}/src/**/*.ts`, { statements }] as const;

export default defineConfig({
  resolve: { conditions: ["@gatewright/source"] },
  ssr: { resolve: { conditions: ["@gatewright/source"] } },
  test: {
    // Most tests wait for servers, so three files run at once even on two cores.
    maxWorkers: 3,
    // A worker keeps what it has imported: to load the gateway for each file cost more than most files' tests.
    isolate: false,
    setupFiles: [join(root, "tools/bootstrap/src/keep-compiled.mjs")],
    // Hangs end here; a busy machine takes several times as long as an idle one, and that is no fault of a test.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    projects: folders.map(({ name, folder }) => ({
      extends: true as const,
      root: join(root, folder),
      test: { name, include: ["test/**/*.test.ts", "test/**/*.e2e.ts"] },
    })),
    coverage: {
      provider: "v8",
      reporter: ["text-summary", "json-summary"],
      reportOnFailure: true,
      // Matched against paths below each project and below the root.
      include: ["**/src/**/*.ts"],
      // Run in processes of their own only, where coverage does not reach: tests see them from outside.
      exclude: ["**/gateway/src/main.ts", "**/gateway/src/workers/{run-workers,forward-listener}.ts"],
      thresholds: Object.fromEntries(
        folders
          .filter(({ folder }) => !folder.startsWith("tools"))
          .map(({ name, folder }) => coverageOf(folder, name === "server-classifier" ? 99 : 95)),
      ),
    },
  },
});
