/**
 * Memory that has been touched a moment ago. The machine under us gives freed pages back to its own host, and touching them again
 * takes several times as long: every timed step is to find memory alike.
 */
import type { Lab } from "../lab/lab.js";

/** Holds touched memory on host c until it is told to free it, which may be told more than once. */
export async function warmMemory(lab: Lab, megabytes: number): Promise<() => Promise<void>> {
  if (megabytes === 0) return async () => undefined;
  const child = lab.spawn("c", ["/repo/build/programs/warm/warm", String(megabytes)]);
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("close", () => reject(new Error("the warming program ended early")));
  });
  return async () => {
    await lab.exec("c", ["pkill", "-KILL", "-x", "warm"]).catch(() => undefined);
    await gone;
  };
}
