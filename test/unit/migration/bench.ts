/**
 * A work bench for the executors: a real process in a real freezer cgroup, a fake engine, and a fake runC
 * that waits for the engine's word as CRIU would.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "../../../runtime/migration/deadline.js";
import { HandoverStore } from "../../../runtime/migration/handover.js";
import type { Cgroup, DestinationContainer, SourceContainer } from "../../../runtime/migration/types.js";
import { Runc } from "../../../runtime/runc/index.js";

/** How to freeze by either version of cgroups; the first that this machine has is taken. */
const FREEZERS = [
  { version: 1, parent: "/sys/fs/cgroup/freezer", file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" },
  { version: 2, parent: "/sys/fs/cgroup", file: "cgroup.freeze", frozen: "1", thawed: "0" },
] as const;
const FREEZER = FREEZERS.find(({ parent }) => existsSync(join(parent, "cgroup.procs"))) ?? FREEZERS[0];

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
/** Whether this machine lets us freeze: the tests of whole migrations need it. */
export const canFreeze = existsSync(join(FREEZER.parent, "cgroup.procs")) && process.getuid?.() === 0;

/** checkpoint: waits for the engine's go, then writes a list of descriptors, and without --leave-running waits for the end and
 * kills; restore: until released, then a pid. */
const FAKE_RUNC = `#!/bin/bash
while [[ $1 == --* ]]; do shift 2; done
command=$1; shift
[[ " $* " == *" --leave-running "* ]] && stays=yes
while [[ $# -gt 1 ]]; do case $1 in
  --image-path) images=$2; shift 2;; --pid-file) pid=$2; shift 2;; --work-path) work=$2; shift 2;;
  --bundle) shift 2;; *) shift;; esac; done
engine_lives() { kill -0 "$(cat TRACES/engine.pid)" 2>/dev/null; }
wait_for() { for ((i = 0; i < 500; i++)); do [[ -e $1 ]] && return; engine_lives || exit 1; sleep 0.01; done; exit 1; }
echo "$command" >> TRACES/runc
case $command in
  checkpoint) [[ -e TRACES/broken ]] && { echo "(00.1) x" > "$work/dump.log"; exit 1; }
    [[ -e TRACES/thaws ]] && { wait_for TRACES/go; echo ${FREEZER.thawed} > "$(cat TRACES/thaws)/${FREEZER.file}"; exit 0; }
    wait_for TRACES/go; echo '["/dev/null","/dev/null","/dev/null"]' > "$images/descriptors.json"
    touch TRACES/dumped
    [[ $stays ]] || { wait_for TRACES/end; kill -KILL "$(cat TRACES/victim)"; };;
  restore) [[ -e TRACES/broken ]] && exit 1
    wait_for TRACES/released; cat TRACES/victim > "$pid";;
esac
`;

export class Bench {
  readonly dir = mkdtempSync(join(tmpdir(), "migration-"));
  readonly engine = join(this.dir, "pclive-engine");
  readonly records = new HandoverStore(join(this.dir, "handover"));
  readonly places = { runDir: join(this.dir, "run"), logDir: join(this.dir, "log") };
  readonly failures: unknown[] = [];
  adopted = 0;
  execs: string[] = [];
  #victim: ChildProcess | undefined;
  #cgroup: string | undefined;

  constructor() {
    this.engineDoes({});
    writeFileSync(join(this.dir, "runc.sh"), FAKE_RUNC.replaceAll("TRACES", this.dir), { mode: 0o755 });
  }

  /** @param script command → trouble, see fake-engine.ts */
  engineDoes(script: object): void {
    const program = fileURLToPath(new URL("./fake-engine.js", import.meta.url));
    const text = `#!/bin/bash\necho $$ > '${this.dir}/engine.pid'\nFAKE_TRACES='${this.dir}' FAKE_ENGINE='${JSON.stringify(script)}' exec '${process.execPath}' '${program}' "$@"\n`;
    writeFileSync(this.engine, text, { mode: 0o755 });
  }

  trace(name: string, text = ""): void {
    writeFileSync(join(this.dir, name), text);
  }

  has(name: string): boolean {
    return existsSync(join(this.dir, name));
  }

  /** A process that counts, in a freezer of its own. */
  startVictim(): number {
    this.#cgroup = join(FREEZER.parent, `pclive-test-${process.pid}-${this.dir.slice(-6)}`);
    mkdirSync(this.#cgroup);
    const counter = join(this.dir, "count");
    this.#victim = spawn("bash", ["-c", `for ((i = 1; ; i++)); do echo $i > '${counter}'; sleep 0.01; done`]);
    writeFileSync(join(this.#cgroup, "cgroup.procs"), String(this.#victim.pid));
    writeFileSync(join(this.dir, "victim"), String(this.#victim.pid));
    return this.#victim.pid ?? 0;
  }

  /** Waits until it is no more. */
  async dies(pid: number): Promise<void> {
    if (!(await until(10_000, 20, () => !isAlive(pid)))) throw new Error(`${pid} lives on`);
  }

  count(): number {
    // Frozen early, it may not have begun.
    return this.has("count") ? Number(readFileSync(join(this.dir, "count"), "utf8")) : 0;
  }

  /** Whether it counts on; a busy machine may keep it waiting for a while. */
  async runs(): Promise<boolean> {
    const before = this.count();
    return until(10_000, 20, () => this.count() !== before);
  }

  freeze(frozen: boolean): void {
    writeFileSync(join(this.#cgroup ?? "", FREEZER.file), frozen ? FREEZER.frozen : FREEZER.thawed);
  }

  /** In words that are the same for both versions. */
  freezer(): string {
    const text = readFileSync(join(this.#cgroup ?? "", FREEZER.file), "utf8").trim();
    return text === FREEZER.frozen ? "frozen" : text === FREEZER.thawed ? "thawed" : text;
  }

  cgroup(): Cgroup {
    const folder = this.#cgroup ?? "";
    return { version: FREEZER.version, freezerPath: folder, procsPaths: [join(folder, "cgroup.procs")] };
  }

  source(): SourceContainer {
    return {
      ...this.#container(),
      runningExecs: () => this.execs,
      expectGone: () => new Promise((resolve) => this.#victim?.once("exit", resolve)),
    };
  }

  destination(): DestinationContainer {
    return {
      ...this.#container(),
      restoreStdio: async () => [0, 1, 2],
      stdioHandedOver: () => undefined,
      adopt: async (pid) => {
        this.adopted = pid;
      },
      failed: async (reason) => {
        this.failures.push(reason);
      },
    };
  }

  remove(): void {
    if (this.#cgroup) {
      writeFileSync(join(this.#cgroup, FREEZER.file), FREEZER.thawed);
      this.#victim?.kill("SIGKILL");
      for (let i = 0; i < 200 && existsSync(this.#cgroup); i++) {
        try {
          rmdirSync(this.#cgroup);
        } catch {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
        }
      }
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  #container() {
    return {
      id: "victim",
      namespace: "test",
      bundle: this.dir,
      runc: new Runc({
        binary: join(this.dir, "runc.sh"),
        root: join(this.dir, "runc"),
        log: join(this.dir, "log.json"),
      }),
      initPid: () => this.#victim?.pid ?? 0,
      cgroup: async () => this.cgroup(),
    };
  }
}
