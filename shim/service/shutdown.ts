/** When the shim may go: asked to, without containers, and nobody holds it. */
export class Shutdown {
  readonly #isIdle: () => boolean;
  readonly #leave: () => Promise<void>;
  #requested = false;
  #leaving = false;
  #holds = 0;

  /** @param leave called once */
  constructor(isIdle: () => boolean, leave: () => Promise<void>) {
    this.#isIdle = isIdle;
    this.#leave = leave;
  }

  /** Without effect while containers remain: containerd asks again after the last one. */
  request(): void {
    if (!this.#isIdle()) return;
    this.#requested = true;
    this.#check();
  }

  /** Keeps the shim, also after a request, until the returned function is called. */
  hold(): () => void {
    this.#holds++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      this.#check();
    };
  }

  #check(): void {
    if (!this.#requested || this.#holds > 0 || this.#leaving || !this.#isIdle()) return;
    this.#leaving = true;
    // After the answer to the request has been written.
    setTimeout(() => void this.#leave(), 10);
  }
}
