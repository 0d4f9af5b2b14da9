/**
 * The part of the switchover in which the container stands still, as somebody beside it sees it: whoever copies
 * the container's files learns when nothing writes to them any more, and says when the peer has them.
 */
import { quiet } from "./deadline.js";
import type { MigrationError } from "./error.js";

export interface Frozen {
  /** Unix time, ms. */
  readonly frozenAt: number;
  /** Every process of the container. */
  readonly pids: readonly number[];
}

export class Standstill {
  /** Rejects when the migration fails before the container stands still. */
  readonly begun: Promise<Frozen>;
  readonly filesSent: Promise<void>;
  #begin: (frozen: Frozen) => void = () => undefined;
  #sent: () => void = () => undefined;
  #fail: (error: MigrationError) => void = () => undefined;

  constructor() {
    this.begun = quiet(
      new Promise((resolve, reject) => {
        this.#begin = resolve;
        this.#fail = reject;
      }),
    );
    this.filesSent = new Promise((resolve) => {
      this.#sent = resolve;
    });
  }

  begin(frozen: Frozen): void {
    this.#begin(frozen);
  }

  confirmFiles(): void {
    this.#sent();
  }

  fail(error: MigrationError): void {
    this.#fail(error);
  }
}
