/**
 * Memory that has been touched a moment ago. The machine under us gives freed pages back to its own host, and touching them again
 * takes several times as long: every timed step is to find memory alike.
 */
import type { Lab } from "../lab/lab.js";

/** Touched memory that is held on host c. */
export interface WarmMemory {
  /** From now on as much becomes free as others take. */
  give(): Promise<void>;
  /** Frees all that is left; may be called more than once. */
  free(): Promise<void>;
}

const NOTHING: WarmMemory = { give: async () => undefined, free: async () => undefined };

export async function warmMemory(lab: Lab, megabytes: number): Promise<WarmMemory> {
  if (megabytes === 0) return NOTHING;
  const child = lab.spawn("c", ["/repo/build/programs/warm/warm", String(megabytes)]);
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("close", () => reject(new Error("the warming program ended early")));
  });
  const signal = (name: string) =>
    lab.exec("c", ["pkill", `-${name}`, "-x", "warm"]).then(
      () => undefined,
      () => undefined,
    );
  return {
    give: () => signal("USR1"),
    free: () => signal("KILL").then(() => gone),
  };
}
