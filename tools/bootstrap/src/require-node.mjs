// First import of every command: a Node that is too old gets one sentence instead of a stack trace.
const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 20) {
  console.error(
    `Gatewright needs Node 20 or newer to start (this is ${process.version}): install a current Node from nodejs.org.`,
  );
  process.exit(1);
}
