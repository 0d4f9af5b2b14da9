/** One container: its init, its execs, and what may be done with them when. */
import type { Runc } from "../../runtime/runc/index.js";
import type { RuntimeOptions } from "../bundle/options.js";
import { notFound, refused, wrongState } from "../errors.js";
import * as events from "../events/events.js";
import { type CgroupFolders, findCgroup } from "./cgroup.js";
import type { ShimEnv } from "./env.js";
import type { ExitWatch } from "./exits.js";
import type { IncomingInit } from "./incoming.js";
import type { InitSource } from "./init.js";
import type {
  CgroupPaths,
  ContainerState,
  Exit,
  IncomingTask,
  MigratableContainer,
  MoveLease,
  MoveLeaseOptions,
  OciSpec,
} from "./migratable.js";
import { MoveGuard } from "./move.js";
import { Mutex } from "./mutex.js";
import type { TaskProcess } from "./process.js";
import { Tracking } from "./tracking.js";

export interface ContainerParts {
  readonly env: ShimEnv;
  readonly id: string;
  readonly bundle: string;
  readonly runc: Runc;
  readonly options: RuntimeOptions;
  readonly init: TaskProcess;
  readonly spec: OciSpec;
}

export class Container implements MigratableContainer {
  readonly env: ShimEnv;
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly runc: Runc;
  readonly options: RuntimeOptions;
  readonly init: TaskProcess;
  readonly execs = new Map<string, TaskProcess>();
  readonly moves: MoveGuard;
  readonly tracking = new Tracking();
  /** Set by the Delete that went through. */
  deleted = false;
  /** Set as soon as init is there, and kept beyond its end: its figures are asked for until Delete. */
  cgroups: Promise<CgroupFolders | undefined> = Promise.resolve(undefined);
  readonly #spec: OciSpec;
  readonly #mutex = new Mutex();
  #frozen: "no" | "pausing" | "paused" = "no";
  #source: InitSource | undefined;
  #incoming: IncomingInit | undefined;
  #exits: ExitWatch | undefined;

  constructor(parts: ContainerParts) {
    this.env = parts.env;
    this.id = parts.id;
    this.namespace = parts.env.namespace;
    this.bundle = parts.bundle;
    this.runc = parts.runc;
    this.options = parts.options;
    this.init = parts.init;
    this.#spec = parts.spec;
    this.moves = new MoveGuard(parts.id);
  }

  /** Set once, by the maker of the container: where init comes from and who watches for its end. */
  assemble(source: InitSource, exits: ExitWatch, incoming: IncomingInit | undefined): void {
    this.#source = source;
    this.#exits = exits;
    this.#incoming = incoming;
  }

  get exits(): ExitWatch {
    if (!this.#exits) throw refused(`container ${this.id} is not complete`);
    return this.#exits;
  }

  get source(): InitSource {
    if (!this.#source) throw refused(`container ${this.id} is not complete`);
    return this.#source;
  }

  initPid(): number {
    return this.init.pid;
  }

  state(): ContainerState {
    const { kind } = this.init.state;
    if (kind === "running" && this.#frozen !== "no") return this.#frozen;
    return kind;
  }

  async spec(): Promise<OciSpec> {
    return this.#spec;
  }

  async cgroup(): Promise<CgroupPaths> {
    if (this.init.pid === 0 || this.init.state.kind === "stopped")
      throw notFound("the container has no process");
    return findCgroup(this.init.pid);
  }

  runningExecs(): readonly string[] {
    return [...this.execs.values()]
      .filter((exec) => exec.state.kind === "running")
      .map((exec) => exec.execId);
  }

  exclusive<T>(_what: string, fn: () => Promise<T>): Promise<T> {
    return this.#mutex.run(fn);
  }

  async becomeIdle(what: string): Promise<void> {
    await this.moves.dismissBackground();
    await this.moves.memoryComplete();
    this.moves.mustBeIdle(what);
  }

  beginMove(options: MoveLeaseOptions): MoveLease {
    if (this.init.state.kind === "stopped") throw refused(`container ${this.id} is stopped`);
    return this.moves.begin(options);
  }

  async endTracking(): Promise<void> {
    await this.tracking.end();
  }

  async expectGone(exitStatus: number): Promise<Exit> {
    this.exits.overrideInitStatus(exitStatus);
    return (await this.init.exited) ?? { status: exitStatus, at: Date.now() };
  }

  incoming(): IncomingTask | undefined {
    return this.#incoming;
  }

  /** @throws ShimError NOT_FOUND */
  process(execId: string): TaskProcess {
    if (execId === "") return this.init;
    const exec = this.execs.get(execId);
    if (!exec) throw notFound(`process ${execId} does not exist`);
    return exec;
  }

  async pause(): Promise<void> {
    await this.exclusive("pause", async () => {
      this.moves.mustBeFree("pause");
      if (this.state() !== "running") throw wrongState(`cannot pause a container that is ${this.state()}`);
      this.#frozen = "pausing";
      try {
        await this.runc.pause(this.id);
        this.#frozen = "paused";
      } catch (error) {
        this.#frozen = "no";
        throw error;
      }
    });
    this.env.events.publish(events.paused(this.id));
  }

  async resume(): Promise<void> {
    await this.exclusive("resume", async () => {
      this.moves.mustBeFree("resume");
      if (this.state() !== "paused") throw wrongState(`cannot resume a container that is ${this.state()}`);
      await this.runc.resume(this.id);
      this.#frozen = "no";
    });
    this.env.events.publish(events.resumed(this.id));
  }

  async update(resources: string): Promise<void> {
    await this.exclusive("update", async () => {
      this.moves.mustBeFree("update");
      await this.runc.update(this.id, resources);
    });
  }
}
