import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * The watchdog: a shell that reads one instruction a line and, when its standard input ends because this
 * process is gone — by exit, crash or SIGKILL — ends every server and removes every directory it was told of.
 * Lines: `+ SIGNAL PID` (watch), `- - PID` (ended by itself), `d - DIRECTORY` (remove at the end).
 * A stopped process (SIGSTOP) is continued first; what survives its signal for a second is killed.
 */
const watchdogScript = `
trap '' INT TERM HUP QUIT
watched=' '
directories=''
while IFS=' ' read -r operation signal subject; do
  case $operation in
    +) watched="$watched$signal:$subject " ;;
    -) watched=$(printf '%s' "$watched" | sed "s/ [A-Z]*:$subject / /") ;;
    d) directories="$directories$subject
" ;;
  esac
done
for entry in $watched; do
  kill -s "\${entry%%:*}" "\${entry##*:}" 2>/dev/null
  kill -s CONT "\${entry##*:}" 2>/dev/null
done
attempt=0
while [ $attempt -lt 20 ]; do
  alive=''
  for entry in $watched; do kill -0 "\${entry##*:}" 2>/dev/null && alive=yes; done
  [ -z "$alive" ] && break
  attempt=$((attempt + 1))
  sleep 0.05
done
for entry in $watched; do kill -s KILL "\${entry##*:}" 2>/dev/null; done
[ -n "$alive" ] && sleep 0.2
printf '%s' "$directories" | while IFS= read -r directory; do rm -rf "$directory"; done
`;

interface Watchdog {
  readonly process: ChildProcess;
  readonly input: Writable;
}

const watchdogSlot = Symbol.for("gatewright.testkit.watchdog");
const holder = globalThis as { [watchdogSlot]?: Watchdog };

function watchdog(): Watchdog {
  const existing = holder[watchdogSlot];
  if (existing && existing.process.exitCode === null) return existing;
  const child = spawn("/bin/sh", ["-c", watchdogScript], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const input = child.stdin;
  if (!input) throw new Error("The watchdog has no standard input.");
  input.on("error", () => {});
  child.unref();
  (input as Writable & { unref?(): void }).unref?.();
  const created = { process: child, input };
  holder[watchdogSlot] = created;
  return created;
}

/** Sees to it that process `pid` gets `signal` when this process dies, however it dies. */
export function watchProcess(pid: number, signal: "KILL" | "QUIT" | "TERM"): void {
  watchdog().input.write(`+ ${signal} ${pid}\n`);
}

/** Takes `pid` off the watchdog's list; call it as soon as the process has ended, because pids are reused. */
export function unwatchProcess(pid: number): void {
  watchdog().input.write(`- - ${pid}\n`);
}

/** Sees to it that `directory` (absolute) is removed after this process has died. */
export function removeDirectoryAtExit(directory: string): void {
  watchdog().input.write(`d - ${directory}\n`);
}
