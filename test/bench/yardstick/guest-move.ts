/** QEMU's own live migration of a guest, from one process to another. */
import type { Report } from "../../lib/migrate.js";
import type { Guests, Receiver } from "./guests.js";
import { Qmp, QmpError } from "./qmp.js";

/** The link of the other benches, 10 Gbit/s, and the pause that `pclive migrate` aims at by default. */
const PARAMETERS = { "max-bandwidth": 1_250_000_000, "downtime-limit": 100 };
const MOVE_MS = 240_000;
const POLL_MS = 50;
const ENDED = ["completed", "failed", "cancelled"];

/** What query-migrate says; milliseconds and bytes. */
interface Progress {
  readonly status?: string;
  readonly "error-desc"?: string;
  readonly downtime?: number;
  readonly "total-time"?: number;
  readonly ram?: { readonly transferred: number; readonly "dirty-sync-count": number };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Begins to move the guest nowhere, and leaves it. The first time that QEMU looks for written pages all of them count as such;
 * TCG takes half a second to forget them, and holds the guest up meanwhile. With KVM nothing of the kind happens.
 */
export async function rehearse(guests: Guests, host: string): Promise<void> {
  await withReceiver(guests, host, async (_, source) => {
    await source.execute("migrate", { uri: "exec:cat >/dev/null" });
    await reach(source, "active");
    await source.execute("migrate_cancel");
    await reach(source, "cancelled");
  });
}

/** @returns what QEMU reports of it. @throws when it fails; the guest then runs on where it was */
export function moveGuest(guests: Guests, host: string): Promise<Report> {
  return withReceiver(guests, host, async (receiver, source, destination) => {
    await source.execute("migrate-set-parameters", PARAMETERS);
    const plugged = source.event("STOP", MOVE_MS).then(() => receiver.plug());
    const resumed = destination.event("RESUME", MOVE_MS);
    const running = Promise.all([plugged, resumed]);
    running.catch(() => undefined); // a failure before says more
    await source.execute("migrate", { uri: receiver.uri });
    const { downtime = 0, "total-time": totalMs = 0, ram } = await reach(source, "completed");
    await running;
    await receiver.keep();
    const rounds = Array.from({ length: ram?.["dirty-sync-count"] ?? 0 }, (_, i) => ({ round: i + 1 }));
    return { downtimeMs: downtime, totalMs, wireBytes: ram?.transferred ?? 0, rounds };
  });
}

async function withReceiver<T>(
  guests: Guests,
  host: string,
  work: (receiver: Receiver, source: Qmp, destination: Qmp) => Promise<T>,
): Promise<T> {
  const receiver = await guests.receive(host);
  const open: Qmp[] = [];
  try {
    for (const path of [receiver.source, receiver.destination]) open.push(await Qmp.connect(path));
    const [source, destination] = open as [Qmp, Qmp];
    return await work(receiver, source, destination);
  } finally {
    for (const qmp of open) qmp.close();
    await receiver.end();
  }
}

/** Waits until the migration is `wanted`. @throws when it ends otherwise */
async function reach(source: Qmp, wanted: string): Promise<Progress> {
  const deadline = Date.now() + MOVE_MS;
  for (;;) {
    const progress = (await source.execute("query-migrate")) as Progress;
    const status = progress.status ?? "none";
    if (status === wanted) return progress;
    if (ENDED.includes(status))
      throw new QmpError(`qemu: the migration is ${status}: ${progress["error-desc"] ?? "no word why"}`);
    if (Date.now() > deadline) throw new QmpError(`qemu: the migration is ${status} after ${MOVE_MS} ms`);
    await sleep(POLL_MS);
  }
}
