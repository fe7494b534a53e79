import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "tsup";

/** The version to compare with until there is a release: the package as the foundation left it. */
const FOUNDATION = "7b3d6188b652329112f14925db768ba1afaf5ac2";

/** What is taken from the baseline. */
export interface Baseline {
  readonly name: string;
  readonly retryPlugin: typeof import("@gatewright/retry-backoff/plugin").retryPlugin;
}

/** Builds the baseline from the history (`BASELINE`, a commit or tag), or undefined without a git checkout. */
export async function loadBaseline(): Promise<Baseline | undefined> {
  const commit = process.env["BASELINE"] ?? FOUNDATION;
  const folder = join(import.meta.dirname, "..");
  const outDir = join(folder, "node_modules", ".cache", `baseline-${commit}`);
  if (!existsSync(join(outDir, "index.js"))) {
    const sources = mkdtempSync(join(tmpdir(), "retry-backoff-baseline-"));
    try {
      const tar = execFileSync("git", ["archive", commit, "src"], {
        cwd: folder,
        stdio: ["ignore", "pipe", "ignore"],
      });
      execFileSync("tar", ["-x", "-C", sources], { input: tar });
      const entry = [join(sources, "src/plugin/index.ts")];
      await build({
        entry,
        outDir,
        config: false,
        format: "esm",
        target: "node22",
        external: ["zod"],
        silent: true,
      });
    } catch {
      return undefined;
    } finally {
      rmSync(sources, { recursive: true });
    }
  }
  const { retryPlugin } = await import(pathToFileURL(join(outDir, "index.js")).href);
  return { name: commit === FOUNDATION ? "foundation" : commit, retryPlugin };
}
