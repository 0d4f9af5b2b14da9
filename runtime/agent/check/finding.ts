/** What a check found. */
export type Severity = "ok" | "warning" | "refusal";

export interface Finding {
  /** Stable, for programs: e.g. `cpu-features`. */
  readonly id: string;
  readonly severity: Severity;
  readonly message: string;
  readonly remedy: string;
}

export const ok = (id: string, message: string): Finding => ({ id, severity: "ok", message, remedy: "" });
export const warning = (id: string, message: string, remedy = ""): Finding => ({
  id,
  severity: "warning",
  message,
  remedy,
});
export const refusal = (id: string, message: string, remedy = ""): Finding => ({
  id,
  severity: "refusal",
  message,
  remedy,
});

export function refusals(findings: readonly Finding[]): Finding[] {
  return findings.filter((one) => one.severity === "refusal");
}
