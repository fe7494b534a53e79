#!/usr/bin/env -S node --conditions=@gatewright/source --disable-warning=ExperimentalWarning
import { runCli } from "./cli/run-cli.ts";

const code = await runCli(process.argv.slice(2), {
  env: process.env,
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  stopped: () =>
    new Promise((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve());
    }),
});
process.exit(code);
