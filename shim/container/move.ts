/** Who may touch a container while a migration, a checkpoint or a measurement has it. */
import { refused } from "../errors.js";
import type { Interruption, MoveLease, MoveLeaseOptions } from "./migratable.js";

/** What a checkpoint under way has to tell. */
export interface CheckpointLease {
  progress: { readonly phase: string; readonly round: number; readonly bytes: number };
  /** Idempotent. */
  end(): void;
}

type Occupant =
  | { readonly kind: "migration"; readonly options: MoveLeaseOptions }
  | { readonly kind: "measurement" }
  | { readonly kind: "checkpoint"; readonly lease: CheckpointLease; readonly over: Promise<void> };

export class MoveGuard {
  readonly #id: string;
  #current: Occupant | undefined;

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
  beginCheckpoint(): CheckpointLease {
    this.mustBeIdle("checkpoint");
    let done = () => {};
    const over = new Promise<void>((resolve) => {
      done = resolve;
    });
    const lease: CheckpointLease = {
      progress: { phase: "prepare", round: 0, bytes: 0 },
      end: () => {
        this.#leave(occupant);
        done();
      },
    };
    const occupant: Occupant = { kind: "checkpoint", lease, over };
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

  /** The checkpoint under way. */
  get checkpoint(): CheckpointLease | undefined {
    return this.#current?.kind === "checkpoint" ? this.#current.lease : undefined;
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
  }

  #leave(occupant: Occupant): void {
    if (this.#current === occupant) this.#current = undefined;
  }
}
