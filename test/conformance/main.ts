/**
 * Takes two shims through the same table and tells where they differ. Runs on a host with runC and the stock shim:
 * main.js [--stock PATH] [--ours PATH] [--only WORDS]… [--systemd] [--messages] [--list]
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PATIENCE } from "../lib/patience.js";
import { CGROUPFS, SYSTEMD } from "./cgroups.js";
import { BROKEN, compare } from "./compare.js";
import type { Line } from "./record.js";
import { type Outcome, report, reportMessages } from "./report.js";
import type { Row } from "./row.js";
import { prepareRootfs, Scene } from "./scene.js";
import type { Candidate } from "./shim.js";
import { table } from "./table.js";

const ROW_MS = 60_000 * PATIENCE;
const AT_ONCE = 3;

const { values } = parseArgs({
  options: {
    stock: { type: "string", default: "/usr/bin/containerd-shim-runc-v2" },
    ours: { type: "string", default: "/usr/local/bin/containerd-shim-pclive-v2" },
    only: { type: "string", multiple: true, default: [""] },
    /** Cgroups are made by systemd, which must run. */
    systemd: { type: "boolean", default: false },
    messages: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

/** The stock shim's containerd, e.g. "1.6". */
function generationOf(stock: string): string {
  const text = execFileSync(stock, ["-v"], { encoding: "utf8", timeout: 10_000 });
  const found = /Version:\s*v?(\d+\.\d+)/.exec(text)?.[1];
  if (found === undefined) throw new Error(`${stock} -v tells no version: ${text}`);
  return found;
}

async function play(row: Row, index: number, candidate: Candidate, root: string): Promise<readonly Line[]> {
  const driver = values.systemd ? SYSTEMD : CGROUPFS;
  const scene = new Scene(candidate, join(root, `${candidate.name}${index}`), join(root, "rootfs"), driver);
  await scene.open();
  try {
    await bounded(row.steps(scene));
    await scene.end();
  } catch (error) {
    scene.note(BROKEN, error instanceof Error ? error.message : error);
  }
  await scene.close();
  return scene.record.lines;
}

async function bounded(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took over ${ROW_MS} ms`)), ROW_MS);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/**
 * A folder whose mounts nobody else sees. All containers of the table have one root file system, mounted again for each:
 * were these mounts peers, what one row unmounts would go from the containers of other rows too.
 */
function privateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "conf-"));
  chmodSync(folder, 0o711); // the root of a user namespace must get through to its root file system
  execFileSync("mount", ["--bind", folder, folder]);
  execFileSync("mount", ["--make-private", folder]);
  return folder;
}

function removeFolder(folder: string): void {
  execFileSync("umount", ["--lazy", folder]);
  rmSync(folder, { recursive: true, force: true });
}

async function playAll(
  rows: readonly Row[],
  stock: Candidate,
  ours: Candidate,
  root: string,
  generation: string,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const queue = [...rows.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, row] = next;
      const [one, two] = await Promise.all([play(row, index, stock, root), play(row, index, ours, root)]);
      outcomes[index] = { row, stock: one, ours: two, findings: compare(row, one, two, generation) };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcomes;
}

async function main(): Promise<number> {
  const rows = table.filter(({ name }) => values.only.some((words) => name.includes(words)));
  if (values.list) {
    for (const { name } of rows) console.log(name);
    return 0;
  }
  const generation = generationOf(values.stock);
  // containerd 2 has version 3 of the Task service, with the same messages.
  const version = Number.parseInt(generation, 10) >= 2 ? 3 : 2;
  const stock: Candidate = { name: "stock", binary: values.stock, version };
  const ours: Candidate = { name: "ours", binary: values.ours, version };
  const root = privateFolder();
  try {
    prepareRootfs(join(root, "rootfs"));
    const played = rows.filter(({ generations }) => generations?.test(generation) ?? true);
    const outcomes = await playAll(played, stock, ours, root, generation);
    if (values.messages) reportMessages(outcomes);
    return report(outcomes);
  } finally {
    removeFolder(root);
  }
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error(error);
    process.exit(2);
  },
);
