/** Several descriptors at a time: all of them, or none. */
import { closeSync } from "node:fs";
import { pipe } from "#addon";

/** @returns pairs of a reading and a writing end @throws a system error, e.g. EMFILE */
export function openPipes(count: number): [number, number][] {
  const pipes: [number, number][] = [];
  try {
    while (pipes.length < count) pipes.push(pipe());
    return pipes;
  } catch (error) {
    closeAll(pipes.flat());
    throw error;
  }
}

export function closeAll(fds: Iterable<number | undefined>): void {
  for (const fd of fds) if (fd !== undefined) closeSync(fd);
}
