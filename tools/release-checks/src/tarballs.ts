import { mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { type PublishedPackage, publishedPackages, root } from "./published-packages.ts";
import { run } from "./run.ts";

/**
 * Builds every package and packs it as it would be published.
 * @param folder where the tarballs go
 * @returns the tarball of each package, by package name
 */
export async function packAll(folder: string): Promise<ReadonlyMap<string, string>> {
  const built = await run("turbo", ["run", "build", "--output-logs=errors-only"], {
    cwd: root,
    timeoutMs: 240_000,
  });
  if (built.code !== 0) throw new Error(`The build failed:\n${built.output}`);
  const tarballs = new Map<string, string>();
  for (const pkg of publishedPackages) tarballs.set(pkg.name, await pack(pkg, folder));
  return tarballs;
}

async function pack(pkg: PublishedPackage, folder: string): Promise<string> {
  const target = join(folder, basename(pkg.folder));
  mkdirSync(target, { recursive: true });
  const packed = await run("pnpm", ["pack", "--pack-destination", target], { cwd: pkg.folder });
  const file = readdirSync(target).find((name) => name.endsWith(".tgz"));
  if (packed.code !== 0 || file === undefined)
    throw new Error(`${pkg.name} could not be packed:\n${packed.output}`);
  return join(target, file);
}
