/**
 * Lets a shim go that nobody needs any more. containerd asks for it after the last container; but when containerd is killed
 * between starting a shim and its Create, or between Delete and Shutdown, nobody ever asks.
 */

/** Far longer than containerd takes from starting a shim to the first container. */
const DEFAULT_MS = 5 * 60_000;

export interface Tenants {
  readonly size: number;
  /** Containers that there have been so far. */
  readonly total: number;
}

/** @param leave called when the shim was empty for one to two times `ms` milliseconds */
export function leaveWhenVacant(tenants: Tenants, leave: () => void, ms = vacancyMs()): void {
  let last = { empty: false, total: tenants.total };
  setInterval(() => {
    const now = { empty: tenants.size === 0, total: tenants.total };
    if (now.empty && last.empty && now.total === last.total) leave();
    last = now;
  }, ms).unref();
}

/** PCLIVE_VACANCY_MS is for tests: a shim inherits containerd's environment. */
function vacancyMs(): number {
  const wanted = Number(process.env.PCLIVE_VACANCY_MS);
  return wanted >= 1000 ? wanted : DEFAULT_MS;
}
