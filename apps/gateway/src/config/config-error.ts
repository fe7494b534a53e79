/** One thing that is wrong in the configuration. */
export interface ConfigProblem {
  /** Dotted path of the key, for example `server.port`. */
  readonly path: string;
  /** What is wrong with it, in words. */
  readonly message: string;
  /** Where the value came from, for example `file gateway.yaml` or `environment PORT`. */
  readonly source?: string;
}

/** The configuration cannot be used; `problems` names every reason. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "config_invalid";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => describeProblem(problem)).join("\n"));
    this.problems = problems;
  }
}

function describeProblem(problem: ConfigProblem): string {
  const where = problem.source === undefined ? "" : ` (${problem.source})`;
  return `${problem.path === "" ? "configuration" : problem.path}: ${problem.message}${where}`;
}
