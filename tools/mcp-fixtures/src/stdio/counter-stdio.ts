import { buildCounterServer } from "../counter-server.ts";
import { createLedger } from "../ledger.ts";
import { serveProgram } from "./program.ts";

const ledger = createLedger();

await serveProgram(() => buildCounterServer(ledger, `process-${process.pid}`));
