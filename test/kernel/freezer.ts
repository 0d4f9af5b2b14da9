/** What may be done with a container that stands still. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ShimBench, until } from "../integration/shim/bundle.js";
import { leave, make, outcome, remove } from "./container.js";

export async function pausedCalls(bench: ShimBench): Promise<unknown> {
  const made = await make(bench, { args: ["/bin/sleep", "1000"] });
  const { id, task } = made;
  await task.Start({ id });
  await task.Pause({ id });
  const status = (await task.State({ id })).status;
  const spec = { args: ["/bin/true"], cwd: "/", user: { uid: 0, gid: 0 } };
  const any = { type_url: "x", value: Buffer.from(JSON.stringify(spec)) };
  const result = {
    status,
    exec: (await outcome(task.Exec({ id, execId: "e", spec: any }))) === "ok",
    remove: (await outcome(task.Delete({ id }))) === "ok",
    stats: await outcome(task.Stats({ id })),
    pids: (await task.Pids({ id })).processes.length,
    again: (await outcome(task.Pause({ id }))) === "ok",
  };
  await task.Resume({ id });
  const resumed = (await task.State({ id })).status;
  await until(() => bench.topics().includes("/tasks/resumed"));
  const topics = bench.topics();
  await remove(made);
  return { ...result, resumed, topics };
}

/** A signal reaches a container that stands still at the latest when it goes on. */
export async function pausedKill(bench: ShimBench): Promise<unknown> {
  const made = await make(bench, { args: ["/bin/sleep", "1000"] });
  const { id, task } = made;
  await task.Start({ id });
  await task.Pause({ id });
  const killed = await outcome(task.Kill({ id, signal: 9 }));
  await task.Resume({ id }).catch(() => {});
  const { exitStatus } = await task.Wait({ id });
  await task.Delete({ id });
  await leave(made);
  return { killed, exitStatus };
}

export async function pausedCheckpoint(bench: ShimBench): Promise<unknown> {
  const made = await make(bench, { args: ["/bin/sleep", "1000"] });
  const { id, bundle, task } = made;
  await task.Start({ id });
  await task.Pause({ id });
  const path = join(bundle, "images");
  mkdirSync(path);
  const checkpointed = await outcome(task.Checkpoint({ id, path }));
  const status = (await task.State({ id })).status;
  await remove(made);
  return { checkpointed, status };
}
