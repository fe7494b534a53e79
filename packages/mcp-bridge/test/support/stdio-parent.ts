// Opens a stdio session with a stubborn child, prints the child's process id, and waits to be killed.
import { createStdioUpstream } from "../../src/upstream/index.ts";
import { childPath } from "./children.ts";

const upstream = createStdioUpstream({ command: process.execPath, args: [childPath, "stubborn"] });
const session = await upstream.open({ clientInfo: { name: "parent", version: "1" }, capabilities: {} });
const answer = await session.request({ method: "pid" });
process.stdout.write(String(answer.value()["pid"]));
setInterval(() => undefined, 1_000);
