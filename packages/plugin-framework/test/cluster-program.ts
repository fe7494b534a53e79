/** A primary with cluster workers that share modes over IPC, without Redis. Prints what it saw as JSON. */
import cluster from "node:cluster";
import { once } from "node:events";
import { createPluginPipeline } from "../src/index.ts";
import { createIpcBus, createIpcHub } from "../src/ipc/index.ts";
import { toolCall, toolPlugin, violation } from "./support.ts";

const WORKERS = 3;

interface Told {
  readonly from: string;
  readonly value: unknown;
}

if (cluster.isPrimary) {
  const hub = createIpcHub();
  const workers = Array.from({ length: WORKERS }, () => cluster.fork());
  for (const worker of workers) hub.attach(worker);
  const ask = async (index: number, command: string) => {
    const worker = workers[index];
    worker?.send({ command });
    for (;;) {
      const [message] = (await once(worker!, "message")) as [Told];
      if (message.from === command) return message.value;
    }
  };
  await Promise.all(workers.map((_, index) => ask(index, "start")));
  const before = await Promise.all(workers.map((_, index) => ask(index, "call")));
  const report = await ask(1, "disable");
  const after = await Promise.all(workers.map((_, index) => ask(index, "call")));
  if (process.argv.includes("--kill-one")) {
    const [victim] = workers.splice(0, 1);
    victim?.process.kill("SIGKILL");
    await once(victim!, "exit");
    const again = await ask(0, "disable");
    // What was sent to the one that is gone fails a moment later.
    await ask(0, "call");
    process.stdout.write(JSON.stringify(again));
    process.exit(0);
  }
  await Promise.all(workers.map((_, index) => ask(index, "stop")));
  process.stdout.write(JSON.stringify({ before, report, after }));
  for (const worker of workers) worker.kill();
} else {
  const name = `worker-${cluster.worker?.id}`;
  let pipeline: Awaited<ReturnType<typeof createPluginPipeline>> | undefined;
  const start = async () => {
    const use = toolPlugin("guard", () => ({ block: violation }));
    pipeline = await createPluginPipeline({ plugins: [{ use }] }, { bus: createIpcBus(), replica: name });
    return name;
  };
  const call = async () => {
    const scope = pipeline!.begin({ requestId: "r" });
    const { allowed } = await scope.invoke("tool_pre_invoke", toolCall);
    scope.end();
    return allowed;
  };
  const commands: Record<string, () => unknown> = {
    start,
    call,
    disable: () => pipeline?.setMode("guard", "disabled"),
    stop: () => pipeline?.close(),
  };
  process.on("message", async (message: { command?: string }) => {
    const { command } = message;
    if (command === undefined) return;
    process.send?.({ from: command, value: await commands[command]?.() });
  });
}
