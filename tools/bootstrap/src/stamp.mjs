// The stamp says which manifests the installed node_modules belong to, so that a start that needs no
// installation does none (and needs no network).
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Every file whose change means that dependencies have to be installed again. */
export function manifestFiles(root) {
  const files = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"];
  for (const group of ["packages", "apps", "tools"]) {
    const folder = join(root, group);
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort()) {
      const manifest = join(group, name, "package.json");
      if (existsSync(join(root, manifest))) files.push(manifest);
    }
  }
  return files;
}

/** SHA-256 over the names and contents of all manifests, hexadecimal. */
export function currentStamp(root) {
  const hash = createHash("sha256");
  for (const file of manifestFiles(root)) {
    hash
      .update(file)
      .update("\0")
      .update(readFileSync(join(root, file)))
      .update("\0");
  }
  return hash.digest("hex");
}

const stampFile = (root) => join(root, "node_modules", ".cache", "gatewright", "installed");

export function readStamp(root) {
  try {
    return readFileSync(stampFile(root), "utf8").trim();
  } catch {
    return undefined;
  }
}

export function writeStamp(root, stamp) {
  const file = stampFile(root);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${stamp}\n`);
}

export function removeStamp(root) {
  rmSync(stampFile(root), { force: true });
}
