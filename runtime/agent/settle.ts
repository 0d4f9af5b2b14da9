/**
 * One agent asks another what became of a migration: `Peer.Settle`.
 *
 * The source asks with its decision (`committed`, `rolled-back`), the destination asks with `ask`. What is answered is
 * durable: a verdict is never taken back.
 */
import type { pclive } from "#protos/agent";
import type { Context } from "./context.js";
import { Arrival } from "./destination/arrival.js";
import type { Arrivals } from "./destination/arrivals.js";
import { AgentError } from "./errors.js";
import type { JournalEntry } from "./journal.js";
import { migrationId } from "./manifest.js";

type Reply = pclive.peer.v1.ISettleReply;

/** @param caller checks that the peer is the one of this migration */
export async function answerSettle(
  context: Context,
  arrivals: Arrivals,
  request: pclive.peer.v1.SettleRequest,
  caller: (host: string) => void,
): Promise<Reply> {
  const migration = migrationId.safeParse(request.migration);
  if (!migration.success) throw new AgentError("PROTOCOL", "a migration id is 32 lower-case hex digits");
  const entry = await context.journal.read(migration.data);
  if (entry === undefined) return { state: "unknown", reason: "no such migration is known here" };
  caller(entry.peer.name);
  if (entry.role === "source") return { state: await sourceDecision(context, entry), reason: entry.reason };
  return answerAsDestination(context, arrivals, entry, request.decision);
}

/** What the source has decided: `committed`, `rolled-back`, or `moving` while it has not. */
export async function sourceDecision(
  context: Context,
  entry: JournalEntry,
): Promise<"committed" | "rolled-back" | "moving"> {
  const found = await context.records.read(entry.migration);
  if (found === undefined) return context.registry.get(entry.migration) ? "moving" : "rolled-back";
  const record = await context.records.settleOrphan(found);
  switch (record.state) {
    case "committed":
    case "done":
      return "committed";
    case "rolled-back":
    case "returned":
      return "rolled-back";
    default:
      return "moving";
  }
}

async function answerAsDestination(
  context: Context,
  arrivals: Arrivals,
  entry: JournalEntry,
  decision: string,
): Promise<Reply> {
  const arrival = arrivals.get(entry.migration) ?? new Arrival(context, entry);
  const verdict = await arrival.verdict();
  if (decision === "committed" && verdict === "held") {
    await arrival.release().catch((error: unknown) => {
      context.log.error(
        { migration: entry.migration, error: AgentError.from(error).message },
        "the held container could not be released",
      );
    });
  }
  // Committed, yet nothing was held here: it can only be given back.
  if (decision !== "ask" && verdict !== "running" && (decision === "rolled-back" || verdict === "unknown")) {
    await arrival.refuse(`the source says ${decision}`);
  }
  const state = await arrival.verdict();
  return { state, reason: entry.reason };
}
