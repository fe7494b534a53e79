// Installs the workspace when its manifests changed since the last installation, and says so in one line.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runChild } from "./child.mjs";
import { currentStamp, readStamp, removeStamp, writeStamp } from "./stamp.mjs";
import { pnpmVersion } from "./workspace.mjs";

const registryProbeMs = 11_000;

/** An installation that could not be done; the message is one sentence for the user. */
export class InstallError extends Error {}

/**
 * Makes node_modules fit the manifests.
 * @param {string} root the workspace's root
 * @param {{log?: (line: string) => void, env?: NodeJS.ProcessEnv}} options
 * @returns {Promise<boolean>} whether anything had to be installed
 * @throws {InstallError} without a registry, or when the installation fails
 */
export async function ensureInstalled(root, { log = console.error, env = process.env } = {}) {
  const stamp = currentStamp(root);
  if (readStamp(root) === stamp && existsSync(join(root, "node_modules", "node", "bin", "node")))
    return false;
  await requireRegistry(root, env);
  log("Installing dependencies (the first time takes about 20 s) …");
  removeStamp(root);
  const started = Date.now();
  const progress = createProgress(process.stderr);
  const result = await runChild(
    "npm",
    ["exec", "--yes", "--prefer-offline", "--fetch-retries=1", "--", `pnpm@${pnpmVersion}`, "install"].concat(
      "--frozen-lockfile",
      "--config.confirmModulesPurge=false",
      "--reporter=append-only",
    ),
    { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], graceMs: 3_000, onOutput: progress.show },
  );
  progress.clear();
  if (result.signal !== undefined) process.exit(result.code);
  if (result.code !== 0) {
    throw new InstallError(
      `The installation failed; pnpm's last words were:\n${lastLines(result.output, 15)}`,
    );
  }
  writeStamp(root, stamp);
  log(`Installed in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
  return true;
}

// Without this an offline start would sit through npm's own time-outs, minutes on a blackholed network.
async function requireRegistry(root, env) {
  const probe = await runChild(
    "npm",
    [
      "view",
      `pnpm@${pnpmVersion}`,
      "version",
      "--prefer-online",
      "--fetch-retries=0",
      "--fetch-timeout=9000",
    ],
    { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], timeoutMs: registryProbeMs, graceMs: 1_000 },
  );
  if (probe.signal !== undefined) process.exit(probe.code);
  if (probe.code !== 0) {
    throw new InstallError(
      "The dependencies are not installed and the npm registry cannot be reached: connect to the network (or set npm's registry and proxy) and run the same command again.",
    );
  }
}

const lastLines = (text, count) => text.trimEnd().split("\n").slice(-count).join("\n");

// One line that is overwritten: the seconds that have passed and the installer's last line. Terminals only.
function createProgress(terminal) {
  if (terminal.isTTY !== true) return { show() {}, clear() {} };
  const started = Date.now();
  let last = "";
  const draw = () => {
    const seconds = Math.round((Date.now() - started) / 1000);
    terminal.write(
      `\r\u001b[2K${String(seconds).padStart(3)} s  ${last.slice(0, Math.max(0, terminal.columns - 8))}`,
    );
  };
  const timer = setInterval(draw, 250);
  return {
    show(chunk) {
      last = chunk.trim().split("\n").at(-1) ?? last;
    },
    clear() {
      clearInterval(timer);
      terminal.write("\r\u001b[2K");
    },
  };
}
