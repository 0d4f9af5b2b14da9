/** Who may touch a container while a migration, a checkpoint or a measurement has it. */
import { refused } from "../errors.js";
import type { Interruption, MoveLease, MoveLeaseOptions } from "./migratable.js";

/** Nobody waits for a checkpoint in the background (of a protected container): it gives way to what the user asks for. */
export type Ground = "foreground" | "background";

/** What a checkpoint under way has to tell. */
export interface CheckpointLease {
  progress: { readonly phase: string; readonly round: number; readonly bytes: number };
  /** Aborted: it has to give way. Never so in the foreground. */
  readonly dismissed: AbortSignal;
  /** Idempotent. */
  end(): void;
}

type Occupant =
  | { readonly kind: "migration"; readonly options: MoveLeaseOptions }
  | { readonly kind: "measurement" }
  | {
      readonly kind: "checkpoint";
      readonly ground: Ground;
      readonly lease: CheckpointLease;
      readonly over: Promise<void>;
      dismiss(): void;
    };

export class MoveGuard {
  readonly #id: string;
  #current: Occupant | undefined;
  #filled: Promise<unknown> = Promise.resolve();

  constructor(id: string) {
    this.#id = id;
  }

  /** @throws ShimError FAILED_PRECONDITION during a move or a checkpoint */
  begin(options: MoveLeaseOptions): MoveLease {
    this.mustBeIdle("begin a migration");
    const occupant: Occupant = { kind: "migration", options };
    this.#current = occupant;
    return { end: () => this.#leave(occupant) };
  }

  /** @throws ShimError FAILED_PRECONDITION during a move or a checkpoint */
  beginCheckpoint(ground: Ground): CheckpointLease {
    this.mustBeIdle("checkpoint");
    const dismissal = new AbortController();
    let done = () => {};
    const over = new Promise<void>((resolve) => {
      done = resolve;
    });
    const lease: CheckpointLease = {
      progress: { phase: "prepare", round: 0, bytes: 0 },
      dismissed: dismissal.signal,
      end: () => {
        this.#leave(occupant);
        done();
      },
    };
    const dismiss = () => dismissal.abort();
    const occupant: Occupant = { kind: "checkpoint", ground, lease, over, dismiss };
    this.#current = occupant;
    return lease;
  }

  /**
   * For watching its memory: nobody but migrations and checkpoints, which would watch it too, has to wait for that.
   * @returns the end of it, idempotent
   * @throws ShimError FAILED_PRECONDITION during a move, a checkpoint or another measurement
   */
  beginMeasurement(): () => void {
    this.mustBeIdle("measure");
    const occupant: Occupant = { kind: "measurement" };
    this.#current = occupant;
    return () => this.#leave(occupant);
  }

  /** A restored task that runs gets the rest of its memory until then. */
  fillUntil(filled: Promise<void>): void {
    this.#filled = filled.catch(() => undefined);
  }

  /** Before its memory is read, or watched, by anybody. Never rejects. */
  async memoryComplete(): Promise<void> {
    await this.#filled;
  }

  /** The checkpoint under way. */
  get checkpoint(): CheckpointLease | undefined {
    return this.#current?.kind === "checkpoint" ? this.#current.lease : undefined;
  }

  /** Before what the user asks for: a checkpoint in the background is given up, the task runs on. Never rejects. */
  async dismissBackground(): Promise<void> {
    if (this.#current?.kind !== "checkpoint" || this.#current.ground === "foreground") return;
    this.#current.dismiss();
    await this.#current.over;
  }

  /** For what cannot be done beside either. @throws ShimError FAILED_PRECONDITION */
  mustBeIdle(what: string): void {
    this.mustBeFree(what);
    if (!this.#current) return;
    throw refused(
      `cannot ${what}: a ${this.#current.kind} of container ${this.#id} is under way`,
      "wait for its end, then try again",
    );
  }

  /** For calls that wait for a checkpoint by themselves. @throws ShimError FAILED_PRECONDITION during a move */
  mustBeFree(what: string): void {
    if (this.#current?.kind !== "migration") return;
    const { migration } = this.#current.options;
    const remedy = `wait for its end, or cancel it: pclive cancel ${migration}`;
    throw refused(`cannot ${what}: container ${this.#id} is being moved by migration ${migration}`, remedy);
  }

  /** Before the user's Kill or Delete: the migration rolls back or says why not; a checkpoint may need the bundle. */
  async makeWay(why: Interruption): Promise<void> {
    if (this.#current?.kind === "migration") await this.#current.options.makeWay(why);
    if (this.#current?.kind === "checkpoint" && why.kind === "delete") await this.#current.over;
    // Of a task that has ended it is over at once, and leaves no folder.
    if (why.kind === "delete") await this.memoryComplete();
  }

  #leave(occupant: Occupant): void {
    if (this.#current === occupant) this.#current = undefined;
  }
}
