#!/usr/bin/env -S node --min-semi-space-size=16 --max-semi-space-size=16 --conditions=@gatewright/source --disable-warning=ExperimentalWarning
import { processIo } from "./cli/process-io.ts";
import { runCli } from "./cli/run-cli.ts";

process.exit(await runCli(process.argv.slice(2), processIo()));
