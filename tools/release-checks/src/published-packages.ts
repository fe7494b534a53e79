import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

/** The workspace's root. */
export const root = join(import.meta.dirname, "..", "..", "..");

/** A package that is published, as its manifest says. */
export interface PublishedPackage {
  readonly name: string;
  readonly folder: string;
  /** Entry points as a consumer writes them: `@gatewright/x`, `@gatewright/x/redis`. */
  readonly entries: readonly string[];
  readonly requiredPeers: Readonly<Record<string, string>>;
  readonly optionalPeers: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** Every package below `packages/`, in alphabetical order. */
export const publishedPackages: readonly PublishedPackage[] = readdirSync(join(root, "packages"))
  .sort()
  .map((name) => describe(join(root, "packages", name)));

function describe(folder: string): PublishedPackage {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const peers = Object.entries(manifest.peerDependencies ?? {});
  const isOptional = (peer: string) => manifest.peerDependenciesMeta?.[peer]?.optional === true;
  return {
    name: manifest.name,
    folder,
    entries: Object.keys(manifest.exports)
      .filter((path) => path !== "./package.json")
      .map((path) => manifest.name + path.slice(1)),
    requiredPeers: Object.fromEntries(peers.filter(([peer]) => !isOptional(peer))),
    optionalPeers: Object.fromEntries(peers.filter(([peer]) => isOptional(peer))),
  };
}

const workspace = parse(readFileSync(join(root, "pnpm-workspace.yaml"), "utf8")) as {
  readonly catalog: Readonly<Record<string, string>>;
};

/** The version of a dependency that the workspace itself is tested with. */
export function catalogVersion(name: string): string {
  const version = workspace.catalog[name];
  if (version === undefined) throw new Error(`${name} is missing in the catalog of pnpm-workspace.yaml`);
  return version;
}
