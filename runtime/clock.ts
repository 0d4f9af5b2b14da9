/** Time of day, finer than Date.now tells it. */

let offset = performance.timeOrigin;

/**
 * Unix time in ms with fractions. Both clocks are asked: the steady one for the fractions, the other for where it stands now,
 * since the time of day may be set, or slewed, while a process lives.
 */
export function unixMs(): number {
  const whole = Date.now();
  const steady = performance.now();
  offset = Math.min(Math.max(offset, whole - steady), whole + 1 - steady);
  return steady + offset;
}
