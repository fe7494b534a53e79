import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config/config-error.ts";
import { deriveKey, type KeyLabel } from "./derive-key.ts";
import { fileTrouble, privateFile, privateFolder } from "./private-file.ts";

const minBytes = 32;

/** The secret of a deployment, and the one before it while it is being rotated. */
export interface GatewaySecret {
  /** The key for a purpose, derived from the current secret. */
  key(label: KeyLabel): Buffer;
  /** The keys that are still accepted for a purpose: the current one first. */
  accepted(label: KeyLabel): readonly Buffer[];
}

/**
 * Takes the secret from GATEWRIGHT_SECRET (and GATEWRIGHT_SECRET_PREVIOUS), else from the file `secret` in
 * the data folder, which is made with mode 0600 when it is not there. `shared` says why several replicas have to
 * have the same one; then it has to come from outside.
 *
 * @throws {ConfigError} when a given secret is shorter than 32 bytes, or a shared one is not given.
 * @throws {GatewayError} `db_unavailable` when the file or its folder cannot be used.
 */
export function loadSecret(
  dataDir: string,
  env: Readonly<Record<string, string | undefined>>,
  shared?: string,
): GatewaySecret {
  const given = fromEnvironment(env, "GATEWRIGHT_SECRET");
  if (given === undefined && shared !== undefined) {
    throw new ConfigError([
      {
        path: "GATEWRIGHT_SECRET",
        message: `has to be set, to ${minBytes} bytes or more and the same on every replica: ${shared} is set`,
      },
    ]);
  }
  const previous = fromEnvironment(env, "GATEWRIGHT_SECRET_PREVIOUS");
  const secrets = [given ?? fromFile(dataDir), ...(previous === undefined ? [] : [previous])];
  return secretOf(secrets[0] as Buffer, ...secrets.slice(1));
}

/** A secret of its own for a process that keeps nothing. */
export function passingSecret(): GatewaySecret {
  return secretOf(randomBytes(minBytes));
}

function secretOf(current: Buffer, ...previous: readonly Buffer[]): GatewaySecret {
  const secrets = [current, ...previous];
  return {
    key: (label) => deriveKey(current, label),
    accepted: (label) => secrets.map((secret) => deriveKey(secret, label)),
  };
}

function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
): Buffer | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length < minBytes) {
    throw new ConfigError([
      { path: name, message: `has ${bytes.length} bytes and needs ${minBytes} or more` },
    ]);
  }
  return bytes;
}

function fromFile(dataDir: string): Buffer {
  privateFolder(dataDir);
  const path = join(dataDir, "secret");
  try {
    writeFileSync(path, `${randomBytes(48).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw fileTrouble(path, "secret", cause);
    privateFile(path, false);
  }
  const bytes = Buffer.from(readText(path).trim(), "utf8");
  if (bytes.length < minBytes) {
    throw new ConfigError([
      { path: "secret", message: `the file ${path} holds fewer than ${minBytes} bytes` },
    ]);
  }
  return bytes;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw fileTrouble(path, "secret", cause);
  }
}
