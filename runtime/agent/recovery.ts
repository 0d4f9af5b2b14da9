/**
 * After a start of the agent: every migration that was under way is brought to its end. What holds is read from the shims'
 * records; the journal only tells where to look and what to take away.
 */
import { until } from "../migration/deadline.js";
import { type HandoverRecord, isEnded } from "../migration/handover.js";
import { clearOrphan, scratchFolders } from "../migration/orphan.js";
import { scratchDir } from "./config.js";
import type { Context } from "./context.js";
import { Arrival } from "./destination/arrival.js";
import type { Arrivals } from "./destination/arrivals.js";
import { AgentError } from "./errors.js";
import type { JournalEntry } from "./journal.js";
import type { Live } from "./registry.js";
import { ShimClient } from "./shim-client.js";
import { finish, settleCommitted } from "./source/departure.js";
import { returnHome } from "./source/rollback.js";

/** A shim that has lost its lease undoes everything by itself; it takes as long as CRIU does to let go. */
const ROLLBACK_MS = 60_000;
const POLL_MS = 200;

/** What an earlier run of the agent has left undone. Until it is done its containers count as being migrated. */
export class Recovery {
  private constructor(
    private readonly context: Context,
    private readonly arrivals: Arrivals,
    private readonly open: readonly JournalEntry[],
  ) {}

  /** Finds the open migrations. Call it before anybody can ask for new ones. */
  static async plan(context: Context, arrivals: Arrivals): Promise<Recovery> {
    const entries = await context.journal.list();
    const { records, broken } = await context.records.list();
    for (const error of broken)
      context.log.error({ error: error.message }, "a handover record is unreadable");
    const byId = new Map(records.map((record) => [record.migration, record]));
    const open = entries.filter(
      (entry) => entry.outcome === undefined || byId.get(entry.migration)?.state === "committed",
    );
    for (const entry of open) {
      context.registry.restore(recovering(entry));
      // The source may ask for it at once: there must be one answer.
      if (entry.role === "destination") arrivals.add(new Arrival(context, entry));
    }
    return new Recovery(context, arrivals, open);
  }

  /** Brings all of them to their end; a committed one whose peer is away takes as long as that. Never rejects. */
  async run(): Promise<void> {
    const { context, open } = this;
    await Promise.all([...open.map((entry) => this.recover(entry)), clearScratch(context, open)]);
    await context.journal.prune().catch(() => undefined);
  }

  private async recover(entry: JournalEntry): Promise<void> {
    const { context, arrivals } = this;
    const { migration, role, phase } = entry;
    context.log.info({ migration, role, phase }, "recovering a migration");
    try {
      if (role === "source") await recoverSource(context, entry);
      else await recoverDestination(arrivals, arrivals.get(migration) ?? new Arrival(context, entry));
    } catch (error) {
      const { code, message } = AgentError.from(error);
      context.log.error(
        { migration, role, code, error: message },
        "recovery failed; it is tried again at the next start",
      );
    } finally {
      if (!arrivals.isPending(migration)) {
        context.registry.remove(migration);
        arrivals.forget(migration);
      }
    }
  }
}

function recovering(entry: JournalEntry): Live {
  const { migration, role, container, namespace, peer, strategy, startedAt } = entry;
  return {
    migration,
    role,
    container,
    namespace,
    peer: peer.name,
    strategy,
    startedAt,
    phase: "recovery",
    round: 0,
    bytes: 0,
    cancel: () => {
      throw new AgentError("TOO_LATE", "the migration is being brought to its end after a restart", {
        remedy: "wait for it (pclive status)",
      });
    },
  };
}

/** Folders of shims that were killed, of migrations that nobody will bring to an end any more. */
async function clearScratch(context: Context, open: readonly JournalEntry[]): Promise<void> {
  const dir = scratchDir(context.config);
  const cared = new Set(open.map((entry) => entry.migration));
  for (const migration of scratchFolders(dir).filter((one) => !cared.has(one))) {
    await clearOrphan(migration, context.records, dir).catch((error: unknown) =>
      context.log.error({ migration, error: AgentError.from(error).message }, "a scratch folder stays"),
    );
  }
}

async function recoverSource(context: Context, entry: JournalEntry): Promise<void> {
  const record = await decidedRecord(context, entry);
  switch (record?.state) {
    case "committed":
      await settleCommitted(context, entry);
      return;
    case "done":
      await finish(context, entry);
      return;
    default:
      await returnHome(context, entry, record?.reason || "the agent was restarted");
  }
}

/** The source's record once it is no longer `moving`: asks the shim when it does not roll back by itself. */
async function decidedRecord(context: Context, entry: JournalEntry): Promise<HandoverRecord | undefined> {
  const { migration, container: id, namespace } = entry;
  let record: HandoverRecord | undefined;
  const look = async () => {
    const found = await context.records.read(migration);
    record = found && (await context.records.settleOrphan(found));
    return record === undefined || record.state === "committed" || isEnded(record.state);
  };
  if (await until(ROLLBACK_MS, POLL_MS, look)) return record;
  const shim = await ShimClient.connect(context.config, namespace, id);
  try {
    await shim.service.SourceRollback(
      { migration, id, reason: "the agent was restarted" },
      { timeoutMs: ROLLBACK_MS },
    );
  } finally {
    shim.close();
  }
  await look();
  return record;
}

async function recoverDestination(arrivals: Arrivals, arrival: Arrival): Promise<void> {
  switch (await arrival.verdict()) {
    case "running":
      await arrival.finishRunning();
      return;
    case "held":
      arrivals.settle(arrival);
      return;
    default:
      await arrival.refuse("the agent was restarted");
  }
}
