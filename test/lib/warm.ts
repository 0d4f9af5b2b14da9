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

/** Megabytes that a move of a container with so much memory takes at its destination, with room for tables and queues. */
export function warmthFor(memoryMb: number): number {
  return Math.round(1.25 * memoryMb);
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
  return {
    give: async () => void lab.signal(child, "SIGUSR1"),
    free: async () => {
      lab.signal(child, "SIGKILL");
      await gone;
    },
  };
}

/** Of a move: one part becomes free as the rounds take it, the other as the switchover does. */
export interface MoveWarmth {
  readonly rounds: WarmMemory;
  readonly pause: WarmMemory;
}

/** @param megabytes of each of the two */
export async function warmForMove(lab: Lab, megabytes: number): Promise<MoveWarmth> {
  const rounds = await warmMemory(lab, megabytes);
  try {
    return { rounds, pause: await warmMemory(lab, megabytes) };
  } catch (error) {
    await rounds.free();
    throw error;
  }
}
