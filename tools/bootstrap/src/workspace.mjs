// Where things are. Everything in this folder runs before anything is installed: Node ≥ 20, no dependency.
import { join } from "node:path";

export const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "..", "..");
export const cacheFolder = join(root, "node_modules", ".cache", "gatewright");
export const binFolder = join(root, "node_modules", ".bin");
export const projectNode = join(root, "node_modules", "node", "bin", "node");
export const pnpmVersion = "12.21.0";
