import { type ChildProcess, spawn } from "node:child_process";

/**
 * A shell that outlives us for a moment. It reads `+ group` and `- group` lines; when its input ends, which is
 * what happens when this process dies, even by SIGKILL, it ends the groups that are left: SIGTERM, then SIGKILL.
 */
const SCRIPT = `
groups=
while read -r sign group; do
  kept=
  for known in $groups; do [ "$known" = "$group" ] || kept="$kept $known"; done
  groups=$kept
  [ "$sign" = + ] && groups="$groups $group"
done
[ -z "$groups" ] && exit 0
for group in $groups; do kill -s TERM -- "-$group"; done
sleep 1
for group in $groups; do kill -s KILL -- "-$group"; done
`;

/** Ends process groups after the death of this process, in which no code of ours can run any more. POSIX only. */
export class OrphanGuard {
  #shell: ChildProcess | undefined;

  /** Starts to watch a process group. */
  watch(group: number): void {
    this.#tell(`+ ${group}\n`);
  }

  /** The group is gone; its number may be used anew by others. */
  forget(group: number): void {
    if (this.#shell) this.#tell(`- ${group}\n`);
  }

  /** Ends the shell; call it when no group is left. */
  close(): void {
    this.#shell?.stdin?.end();
    this.#shell = undefined;
  }

  #tell(line: string): void {
    if (process.platform === "win32") return;
    this.#shell ??= this.#start();
    this.#shell.stdin?.write(line);
  }

  #start(): ChildProcess {
    const shell = spawn("/bin/sh", ["-c", SCRIPT], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
      cwd: "/",
    });
    const forget = () => {
      if (this.#shell === shell) this.#shell = undefined;
    };
    shell.on("error", forget);
    shell.on("exit", forget);
    shell.stdin?.on("error", forget);
    shell.unref();
    (shell.stdin as { unref?: () => void } | null)?.unref?.();
    return shell;
  }
}
