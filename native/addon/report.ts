import { binding } from "./binding.js";

/** The last word of a start to the launcher, see src/report.cc. */
export function report(bytes: Uint8Array): void {
  binding.report(bytes);
}

/** Lets go of standard input; standard error becomes the log of the bundle, which is the current directory. */
export function leaveLauncher(): void {
  binding.leaveLauncher();
}
