/** When a destination that may choose begins to put memory in place. */

/** Memory on top of the container's that lets a destination be generous. */
const GENEROUS = 2;
/** By then what is sent again and again has shown itself, and rounds have become short. */
const LATER = 3;

/**
 * At once where there is plenty of memory: that is the fastest. Where memory is short the container's waits in a
 * file, of which the kernel keeps in memory what it can spare.
 * @returns the round at whose end it begins; 0: with the first page
 */
export function chooseStageAfter(residentBytes: number, availableBytes: number): number {
  return availableBytes >= GENEROUS * residentBytes ? 0 : LATER;
}
