// The program that the public conformance suite runs as its client. It hands the task to the test, which has a gateway
// already, and ends as the test says.
const response = await fetch(process.env.SUITE_DRIVER, {
  method: "POST",
  body: JSON.stringify({
    url: process.argv[2],
    scenario: process.env.MCP_CONFORMANCE_SCENARIO,
    context: JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}"),
  }),
});
if (!response.ok) {
  console.error(await response.text());
  process.exitCode = 1;
}
