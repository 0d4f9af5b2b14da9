/** QEMU's machine protocol: JSON lines over a unix socket. Every wait has an end, and one error that says what was waited for. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

export class QmpError extends Error {
  override readonly name = "QmpError";
}

interface Message {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

interface Waiter {
  readonly wants: (message: Message) => boolean;
  readonly settle: (outcome: Message | QmpError) => void;
}

const PATIENCE_MS = 20_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Qmp {
  private readonly waiters = new Set<Waiter>();
  private lastId = 0;

  private constructor(private readonly socket: Socket) {
    const lines = createInterface({ input: socket }).on("line", (line) => this.receive(line));
    for (const stream of [lines, socket]) stream.on("error", () => undefined); // "close" follows
    socket.on("close", () => this.fail(new QmpError("qemu: its socket was closed")));
  }

  /** Waits for the socket and for qemu behind it. */
  static async connect(path: string, timeoutMs = PATIENCE_MS): Promise<Qmp> {
    const qmp = new Qmp(await reach(path, Date.now() + timeoutMs));
    try {
      await qmp.next("greeting", (message) => message.QMP !== undefined, timeoutMs);
      await qmp.execute("qmp_capabilities");
      return qmp;
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  /** @returns what the command returns. @throws QmpError with qemu's own words */
  async execute(command: string, args: object = {}): Promise<unknown> {
    const id = ++this.lastId;
    const answer = this.next(`answer to ${command}`, (message) => message.id === id, PATIENCE_MS);
    if (this.socket.writable)
      this.socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    const { error, return: value } = await answer;
    if (error !== undefined) throw new QmpError(`qemu: ${command}: ${error.desc}`);
    return value;
  }

  /** The next event of that name. @returns when it was, in milliseconds since 1970 */
  async event(name: string, timeoutMs: number): Promise<number> {
    const { timestamp } = await this.next(`event ${name}`, (message) => message.event === name, timeoutMs);
    return timestamp === undefined ? Date.now() : timestamp.seconds * 1e3 + timestamp.microseconds / 1e3;
  }

  close(): void {
    this.socket.destroy();
  }

  private next(what: string, wants: Waiter["wants"], timeoutMs: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      const settle: Waiter["settle"] = (outcome) => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        if (outcome instanceof QmpError) reject(outcome);
        else resolve(outcome);
      };
      const waiter = { wants, settle };
      const timer = setTimeout(() => settle(new QmpError(`qemu: no ${what} in ${timeoutMs} ms`)), timeoutMs);
      this.waiters.add(waiter);
      if (this.socket.destroyed) settle(new QmpError(`qemu: no ${what}: its socket is closed`));
    });
  }

  private receive(line: string): void {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      this.fail(new QmpError(`qemu: no JSON: ${line.slice(0, 200)}`));
      this.close();
      return;
    }
    for (const waiter of [...this.waiters]) if (waiter.wants(message)) waiter.settle(message);
  }

  private fail(error: QmpError): void {
    for (const waiter of [...this.waiters]) waiter.settle(error);
  }
}

/** qemu tells its pid a moment before it listens. */
async function reach(path: string, deadline: number): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (Date.now() > deadline) throw new QmpError(`qemu: ${(error as Error).message}`);
      await sleep(50);
    }
  }
}
