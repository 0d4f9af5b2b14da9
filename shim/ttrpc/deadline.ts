/** setTimeout's longest delay in ms; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A clock that nobody sets. That of `performance` takes milliseconds to load. */
const uptimeMs = () => process.uptime() * 1000;

/** Calls `expired` after `ms`, however long that is; Infinity never. @returns a function that gives up on it */
export function afterTimeout(ms: number, expired: () => void): () => void {
  if (ms === Number.POSITIVE_INFINITY) return () => {};
  const end = uptimeMs() + ms;
  let timer: NodeJS.Timeout;
  const arm = () => {
    const left = end - uptimeMs();
    if (left > LONGEST_TIMER_MS) timer = setTimeout(arm, LONGEST_TIMER_MS);
    else timer = setTimeout(expired, Math.max(left, 0));
  };
  arm();
  return () => clearTimeout(timer);
}
