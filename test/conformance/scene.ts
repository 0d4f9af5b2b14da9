/** The world of one row for one shim: its containers, its events, and what is left of them at the end. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { PATIENCE } from "../lib/patience.js";
import { makeRootfs } from "../lib/rootfs.js";
import { until } from "../lib/until.js";
import { makeBundle, type Spec } from "./bundle.js";
import type { CgroupDriver } from "./cgroups.js";
import { Container } from "./container.js";
import { EventService } from "./events.js";
import { Record } from "./record.js";
import {
  type Answer,
  addressOf,
  type Candidate,
  type Connected,
  connectTo,
  runAction,
  runBinary,
} from "./shim.js";

export const NAMESPACE = "conformance";
const RUNC_ROOT = `/run/containerd/runc/${NAMESPACE}`;
const GONE_MS = 6000;

interface Bundled {
  readonly name: string;
  readonly id: string;
  readonly bundle: string;
}

interface Started extends Bundled {
  readonly container: Container;
  readonly address: string;
  readonly shimPid: number;
}

export interface Change {
  /** Of config.json. */
  readonly spec?: (spec: Spec) => void;
}

export class Scene {
  readonly record = new Record();
  readonly events = new EventService();
  readonly #bundles: Bundled[] = [];
  readonly #started: Started[] = [];
  readonly #logs: (() => void)[] = [];
  readonly #fifos: string[] = [];
  readonly #killed: string[] = [];
  #eventsMatter = true;

  /** @param rootfs shared by all rows, for reading */
  constructor(
    readonly candidate: Candidate,
    readonly folder: string,
    readonly rootfs: string,
    readonly driver: CgroupDriver,
  ) {}

  async open(): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    this.record.maskText(this.folder, "<dir>");
    this.record.maskText(this.rootfs, "<rootfs>");
    await this.events.listen(join(this.folder, "events.sock"), NAMESPACE);
  }

  /** A bundle whose init runs `args`; the containers of a row are c1, c2 … */
  bundle(args: readonly string[], change: Change = {}): Bundled {
    const name = `c${this.#bundles.length + 1}`;
    const id = `${this.candidate.name}-${this.folder.split("/").at(-1)}-${name}`;
    const bundle = join(this.folder, id);
    const log = makeBundle(bundle, id, args, (spec) => {
      spec.linux.cgroupsPath = this.driver.pathOf(id);
      change.spec?.(spec);
    });
    this.#logs.push(log);
    this.record.maskText(bundle, `<bundle of ${name}>`);
    this.record.maskText(id, name);
    const made = { name, id, bundle };
    this.#bundles.push(made);
    return made;
  }

  run(bundled: Bundled, action: string, before: readonly string[] = [], input?: Uint8Array): Promise<Answer> {
    return runAction(
      this.candidate,
      { ...bundled, namespace: NAMESPACE, folder: this.folder },
      action,
      before,
      input,
    );
  }

  /** The binary with these arguments only. */
  runPlain(args: readonly string[], input?: Uint8Array): Promise<Answer> {
    return runBinary(this.candidate, args, { cwd: this.folder, ...(input ? { input } : {}) });
  }

  /** A bundle, its shim (started as containerd does), and a connection to it. */
  async container(args: readonly string[], change?: Change): Promise<Container> {
    return this.connect(this.bundle(args, change));
  }

  /** @param input of `start`, as containerd writes it */
  async connect(bundled: Bundled, input?: Uint8Array): Promise<Container> {
    const { status, stdout, stderr } = await this.run(bundled, "start", [], input);
    if (status !== 0) throw new Error(`start failed: ${stderr}`);
    const address = addressOf(stdout);
    const shim = await connectTo(this.candidate, address);
    const rootfs = [{ type: "bind", source: this.rootfs, options: ["rbind", "rw"] }];
    const { name, id, bundle } = bundled;
    const container = new Container(
      name,
      id,
      bundle,
      shim,
      this.record,
      rootfs,
      this.driver.options,
      (ended) => this.#toldEnd(ended),
    );
    const { shimPid } = await shim.task.Connect({ id });
    this.#started.push({ ...bundled, container, address, shimPid });
    return container;
  }

  /** A further connection to the shim of a container. */
  another(container: Container): Promise<Connected> {
    return connectTo(this.candidate, this.addressOf(container));
  }

  /** One that runs already: Create and Start are recorded. */
  async running(args: readonly string[] = ["sleep", "1000"], change?: Change): Promise<Container> {
    const container = await this.container(args, change);
    await container.create();
    await container.start();
    return container;
  }

  shimPid(container: Container): number {
    return this.#started.find((each) => each.id === container.id)?.shimPid ?? 0;
  }

  /** Kills the shim of a container once its events have come. */
  async killShim(container: Container): Promise<void> {
    await this.events.reached("/tasks/create", this.record.count(/Create$/));
    await this.events.reached("/tasks/start", this.record.count(/^c\d+ Start$/));
    await this.events.reached("/tasks/paused", this.record.count(/^c\d+ Pause$/));
    const pid = this.shimPid(container);
    process.kill(pid, "SIGKILL");
    await until(() => hasEnded(pid));
    this.#killed.push(container.id);
  }

  addressOf(container: Container): string {
    return this.#started.find((each) => each.id === container.id)?.address ?? "";
  }

  note(label: string, value: unknown): void {
    this.record.note(label, value);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A file's text once it has `length` characters, or what it has after 5 s. */
  async text(path: string, length = 1): Promise<string> {
    const read = () => (existsSync(path) ? readFileSync(path, "utf8") : "");
    await until(() => read().length >= length).catch(() => {});
    return read();
  }

  /** Both outputs into one file, as clients ask for it. */
  file(name: string): { stdout: string; stderr: string } {
    const uri = `file://${this.path(name)}`;
    return { stdout: uri, stderr: uri };
  }

  fifo(name: string): string {
    const path = this.path(name);
    execFileSync("mkfifo", [path]);
    this.#fifos.push(path);
    return path;
  }

  /** All that comes out of a fifo until its last writer has gone; "… never ended" after 8 s. */
  async collect(path: string): Promise<string> {
    let text = "";
    const stream = createReadStream(path, { encoding: "utf8" });
    const ended = new Promise<string>((resolve) => {
      stream.on("data", (chunk) => {
        text += chunk;
      });
      stream.once("end", () => resolve(text));
      stream.once("error", (error) => resolve(`${text} ${error.message}`));
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`${text} … never ended`), 8000 * PATIENCE);
    });
    const result = await Promise.race([ended, late]);
    clearTimeout(timer);
    return result;
  }

  /** For rows in which the order of events is not given: they compare them in their own way. */
  forgetEvents(): void {
    this.#eventsMatter = false;
  }

  /** For rows in which only the number and kinds of events are given, not their order. */
  async noteTopics(count: number): Promise<void> {
    await until(() => this.events.seen.length >= count).catch(() => {});
    this.note("topics", this.events.seen.map(({ topic }) => topic).sort());
    this.forgetEvents();
  }

  mode(name: string): string {
    return (statSync(this.path(name)).mode & 0o777).toString(8);
  }

  mounts(below: string): number {
    // The kernel's list may have a line twice, or not at all, while others mount: places count, not lines.
    const points = new Set<string>();
    for (let reading = 0; reading < 3; reading++) {
      for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
        const [, , , , point = ""] = line.split(" ");
        if (point.startsWith(below)) points.add(point);
      }
    }
    return points.size;
  }

  /** Ends the containers in the ordinary way, then records the events and everything that stayed. */
  async end(): Promise<void> {
    for (const each of this.#started) await this.#finish(each);
    // The stock shim may lose what it has not sent when it is told to go.
    const deleted = this.#started.filter(({ container }) => container.deleted).length;
    await this.events.reached("/tasks/delete", deleted, 3000);
    for (const each of this.#started) await this.#shutDown(each);
    if (this.#eventsMatter) this.#noteEvents();
    this.note("left behind", this.#leftovers().join("\n"));
  }

  /** The stock shim sends events when it comes to it: without this its event of a Delete may overtake that of the end. */
  async #toldEnd(id: string): Promise<void> {
    if (this.candidate.name === "stock") await this.events.ended(id);
  }

  #noteEvents(): void {
    // Now and then the stock shim takes the end of a cgroup for a lack of memory. Ours must not.
    const passedOver = this.candidate.name === "stock" ? ["/tasks/oom"] : [];
    const events = this.events.describe(this.record, passedOver);
    for (const [index, event] of events.entries()) this.note(`event ${index + 1}`, event);
  }

  async #finish({ id, container }: Started): Promise<void> {
    const { task } = container.shim;
    const state = await task.State({ id }).catch(() => undefined);
    if (state === undefined) return;
    if (state.status === 4) await task.Resume({ id }).catch(() => {});
    if (state.status !== 3) await task.Kill({ id, signal: 9 }).catch(() => {});
    await task.Wait({ id }, { timeoutMs: 5000 * PATIENCE }).catch(() => {});
    await task.Delete({ id }).then(
      () => container.markDeleted(),
      () => {},
    );
  }

  async #shutDown({ id, container, shimPid, bundle }: Started): Promise<void> {
    await container.shim.task.Shutdown({ id }, { timeoutMs: 3000 * PATIENCE }).catch(() => {});
    await until(() => !isShim(shimPid, bundle), GONE_MS).catch(() => {});
    container.shim.client.close();
  }

  #leftovers(): string[] {
    const left: string[] = [];
    for (const { name, id, bundle } of this.#bundles) {
      if (this.mounts(bundle) > 0) left.push(`mounts of ${name}`);
      if (existsSync(join(RUNC_ROOT, id))) left.push(`runC's state of ${name}`);
      if (this.driver.exists(id)) left.push(`cgroup of ${name}`);
    }
    for (const { name, id, bundle, shimPid, address } of this.#started) {
      if (isShim(shimPid, bundle)) left.push(`shim of ${name}`);
      // The stock shim's `delete` leaves that of a shim that was killed.
      if (!this.#killed.includes(id) && existsSync(address.replace("unix://", "")))
        left.push(`socket of ${name}`);
    }
    return left;
  }

  /** Files in a bundle, folders with a slash; without `address`, which only containerd 1 reads. */
  files(bundled: { bundle: string }): string[] {
    const files = readdirSync(bundled.bundle)
      .filter((name) => name !== "address")
      .sort();
    return files.map((name) => (lstatSync(join(bundled.bundle, name)).isDirectory() ? `${name}/` : name));
  }

  /** Takes away whatever a row left, by force. */
  async close(): Promise<void> {
    for (const { shimPid, bundle } of this.#started)
      if (isShim(shimPid, bundle)) process.kill(shimPid, "SIGKILL");
    for (const { id, bundle } of this.#bundles) {
      if (existsSync(join(RUNC_ROOT, id))) quietly("runc", "--root", RUNC_ROOT, "delete", "--force", id);
      for (let round = this.mounts(bundle); round > 0; round--)
        quietly("umount", "-l", join(bundle, "rootfs"));
    }
    for (const close of this.#logs) close();
    // Whoever waits in an open of a fifo is let go.
    for (const path of this.#fifos) closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    await this.events.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function prepareRootfs(folder: string): void {
  makeRootfs(folder);
}

/** True while the shim that was started in this bundle has this pid. */
function isShim(pid: number, bundle: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(bundle);
  } catch {
    return false;
  }
}

/** With the last of its threads: until then its sockets answer. */
function hasEnded(pid: number): boolean {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return state === "X" || (state === "Z" && readdirSync(`/proc/${pid}/task`).length === 1);
  } catch {
    return true;
  }
}

function quietly(command: string, ...args: string[]): void {
  try {
    execFileSync(command, args, { stdio: "ignore", timeout: 10_000 });
  } catch {
    // The leftovers have been recorded; this only makes room.
  }
}
