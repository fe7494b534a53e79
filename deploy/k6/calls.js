// Calls a tool as a profile says: k6 run -e PROFILE=perf-02 -e SCALE=ci -e TOKENS=… deploy/k6/calls.js
import { check } from "k6";
import exec from "k6/execution";
import http from "k6/http";
import { optionsOf, profiles } from "./profiles.js";

const {
  PROFILE = "perf-01",
  SCALE = "ci",
  TOKENS = "",
  URL = "http://127.0.0.1:8000/mcp",
  UPSTREAM = "load",
} = __ENV;
const profile = profiles[PROFILE];
if (profile === undefined) throw new Error(`no profile ${PROFILE}: use ${Object.keys(profiles).join(", ")}`);

export const options = optionsOf(profile, SCALE);

const revision = "2025-11-25";
const tokens = TOKENS.split(",");

/** Opens the sessions, those of one user after those of another. */
export function setup() {
  return Array.from({ length: profile.sessions }, (_, index) => {
    const headers = {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${tokens[index % tokens.length]}`,
    };
    const params = { protocolVersion: revision, capabilities: {}, clientInfo: { name: "k6", version: "1" } };
    const opened = http.post(URL, rpc(0, "initialize", params), { headers, tags: { kind: "setup" } });
    const session = opened.headers["Mcp-Session-Id"];
    if (session === undefined) exec.test.abort(`initialize was answered ${opened.status}: ${opened.body}`);
    const own = { ...headers, "mcp-session-id": session, "mcp-protocol-version": revision };
    const told = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });
    http.post(URL, told, { headers: own, tags: { kind: "setup" } });
    return own;
  });
}

/** One call, in the next session. */
export default function call(sessions) {
  const number = exec.scenario.iterationInTest;
  const params = { name: `${UPSTREAM}_${profile.tool}`, arguments: profile.args };
  const answer = http.post(URL, rpc(number + 1, "tools/call", params), {
    headers: sessions[number % sessions.length],
    tags: { kind: "call" },
  });
  check(answer, { answered: ({ status, body }) => status === 200 && isResult(body) }, { kind: "call" });
}

function rpc(id, method, params) {
  return JSON.stringify({ jsonrpc: "2.0", id, method, params });
}

function isResult(body) {
  return body.includes('"result"') && !body.includes('"isError":true');
}
