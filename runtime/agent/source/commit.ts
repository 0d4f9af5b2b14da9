/** The commit and what follows it. From here on only the handover records decide. */
import { until } from "../../migration/deadline.js";
import { isEnded } from "../../migration/handover.js";
import type { Span } from "../../trace/recorder.js";
import { AgentError } from "../errors.js";
import type { JournalEntry } from "../journal.js";
import { fromShim } from "../shim-client.js";
import { finish, settleCommitted } from "./departure.js";
import type { Running } from "./migration.js";

const COMMIT_MS = 20_000;
const DECIDED_MS = 60_000;
const RUNNING_MS = 15_000;
/** So long the command waits for a destination that does not answer; the agent goes on asking. */
const PATIENCE_MS = 60_000;

/**
 * Makes the shim record the commit. When it returns the destination alone may run the container.
 * @throws AgentError when it certainly did not commit
 */
export async function confirmCommit(running: Running): Promise<void> {
  const { shim, subject, migration } = running;
  try {
    const answer = shim.service.SourceCommit({ migration, id: subject.id }, { timeoutMs: COMMIT_MS });
    await running.recorder.during("agent", "shim commits", answer);
  } catch (error) {
    await readDecision(running, fromShim(error));
  }
}

/** The answer is lost: without its lease the shim rolls back, unless it had committed; its record tells which. */
async function readDecision(running: Running, cause: AgentError): Promise<void> {
  const { records } = running.context;
  running.shim.close();
  let committed = false;
  const decided = await until(DECIDED_MS, 100, async () => {
    const found = await records.read(running.migration);
    if (found === undefined) return true;
    const record = await records.settleOrphan(found);
    committed = record.state === "committed" || record.state === "done";
    return committed || isEnded(record.state);
  });
  if (committed) return;
  if (decided) throw cause;
  throw new AgentError("SHIM", `the shim answered neither yes nor no to the commit: ${cause.message}`, {
    cause,
  });
}

export interface Outcome {
  /** @param spans where the time went in the shim, if it was asked */
  moved(spans: readonly Span[]): Promise<void>;
  failed(error: AgentError, runsHere: boolean): void;
}

/** Tells the destination, waits for its word, and ends our copy. */
export async function finishCommitted(
  running: Running,
  entry: JournalEntry,
  outcome: Outcome,
): Promise<void> {
  const { context, stream, figures, recorder } = running;
  try {
    await stream.send({ commit: {} });
    const answer = stream.expect("running", RUNNING_MS);
    figures.running = await recorder.during("agent", "wait for running", answer);
    // What the destination tidied up before it answered is no part of the pause.
    figures.runningAt = Date.now() - (figures.running.ageMs ?? 0);
    running.phase("running");
    const { releaseMs, ageMs } = figures.running;
    context.log.info(
      { migration: running.migration, releaseMs, ageMs },
      "the container runs at the destination",
    );
    const { spans } = await finish(context, entry);
    await outcome.moved(spans);
    return;
  } catch (error) {
    running.phase("settle", AgentError.from(error).message);
  }
  const settled = settleCommitted(context, entry);
  const patience = new Promise<"waiting">((resolve) =>
    setTimeout(() => resolve("waiting"), PATIENCE_MS).unref(),
  );
  const result = await Promise.race([settled, patience]);
  await report(result, running, outcome);
  // Until it is settled the migration counts as under way.
  if (result === "waiting") await settled;
}

function report(
  result: "moved" | "returned" | "waiting",
  running: Running,
  outcome: Outcome,
): void | Promise<void> {
  const { figures } = running;
  if (result === "moved") {
    figures.runningAt ||= Date.now();
    return outcome.moved([]);
  } else if (result === "returned") {
    const message = "the destination could not run the container and gave it back";
    outcome.failed(new AgentError("HANDED_BACK", message), true);
  } else {
    const remedy = "restore the connection between the hosts; `pclive status` tells what became of it";
    const message = "the container is committed to the destination, which does not answer";
    outcome.failed(new AgentError("UNDECIDED", message, { remedy }), false);
  }
}
