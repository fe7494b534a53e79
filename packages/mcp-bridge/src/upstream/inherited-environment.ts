/** Environment that a child inherits. */
const INHERITED = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "TERM",
  "LANG",
  "LC_ALL",
  "TZ",
  "TMPDIR",
  "SYSTEMROOT",
  "APPDATA",
  "LOCALAPPDATA",
  "PATHEXT",
  "TEMP",
];

/** The part of our own environment that a child inherits; secrets of ours are not in it. */
export function inheritedEnvironment(): { [name: string]: string } {
  return Object.fromEntries(
    INHERITED.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
