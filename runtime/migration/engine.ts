/**
 * A typed client of one `pclive-engine` process.
 *
 * The engine may fail in three ways: a request is refused (its promise rejects), it emits `error` or
 * `peer-lost`, or it dies. The last two end the client: every request and wait under way, and every later one,
 * rejects with that one error. Nothing else of the shim is touched.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { quiet, within } from "./deadline.js";
import type { Answer, Command, EngineEvent, EventName, EventOf } from "./engine-messages.js";
import { MigrationError } from "./error.js";

/** Longest line in either direction, bytes. */
const MAX_LINE = 64 * 1024;

/** What checks the engine's lines takes long to load: not before there is one, when the engine works already. */
type Messages = typeof import("./engine-messages.js");

export interface EngineOptions {
  /** Path of `pclive-engine`. */
  readonly binary: string;
  readonly role: "source" | "destination" | "checkpoint" | "restore" | "archive" | "measure";
  /** The engine's stderr is appended to this file. */
  readonly logFile: string;
  /** What the engine gets as number 4: a descriptor of ours, or the other end of `Engine.stream`. */
  readonly stream?: number | "pipe";
  readonly onEvent?: (event: EngineEvent) => void;
}

export interface RequestOptions {
  /** Milliseconds until the request counts as failed. */
  readonly timeoutMs: number;
  /** The time starts anew whenever an event reports that more bytes have moved. */
  readonly restartOnProgress?: boolean;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: MigrationError): void;
  readonly command: Command;
  restart?: () => void;
}

/** Events that happen once in a migration: a wait for one that was there already ends at once. */
type Seen = Partial<Record<EventName, EngineEvent>>;

const STDERR_LINES = 6;
const DEATH_MS = 5_000;

export class Engine {
  readonly pid: number;
  /** Rejects, only ever rejects, when the engine has failed as a whole. */
  readonly failed: Promise<never>;
  readonly #child: ChildProcess;
  readonly #control: Duplex;
  readonly #options: EngineOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #seen: Seen = {};
  readonly #waiting = new Map<EventName, ((event: EngineEvent) => void)[]>();
  readonly #exited: Promise<void>;
  #fail: (error: MigrationError) => void = () => undefined;
  #failure: MigrationError | undefined;
  #lastId = 0;
  #buffer = "";
  #messages: Messages | undefined;
  #loading: Promise<void> | undefined;
  #progress = "";
  #closing = false;

  private constructor(options: EngineOptions) {
    this.#options = options;
    this.failed = quiet(
      new Promise<never>((_, reject) => {
        this.#fail = reject;
      }),
    );
    this.#child = start(options);
    this.#exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#end(
          new MigrationError("engine-failed", `${options.binary} cannot be started: ${error.message}`, {
            remedy: "install PCLive completely: pclive-engine belongs into its lib/pclive",
          }),
        );
        resolve();
      });
      this.#child.once("exit", async (code, signal) => {
        // What it has said last tells more.
        await this.#loading;
        this.#end(this.#death(signal ?? `status ${code}`));
        resolve();
      });
    });
    this.#control = this.#child.stdio[3] as Duplex;
    // The engine says why it has left.
    this.stream?.on("error", () => undefined);
    this.#control.setEncoding("utf8");
    this.#control.on("data", (text: string) => this.#receive(text));
    // The exit tells more than the broken pipe; it follows.
    this.#control.on("error", () => undefined);
    this.pid = this.#child.pid ?? 0;
  }

  /** Starts the engine; if it cannot be, the first request says so. */
  static spawn(options: EngineOptions): Engine {
    return new Engine(options);
  }

  /**
   * Starts the engine and waits for its first answer.
   * @throws MigrationError `engine-failed`, `timeout`
   */
  static async start(options: EngineOptions): Promise<{ engine: Engine; hello: Answer<"hello"> }> {
    const engine = Engine.spawn(options);
    try {
      return { engine, hello: await engine.request("hello", {}, { timeoutMs: 10_000 }) };
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** @throws MigrationError with the engine's own code, or `timeout`, `protocol`, `engine-failed` */
  async request<C extends Command>(
    command: C,
    fields: Readonly<Record<string, unknown>>,
    options: RequestOptions,
  ): Promise<Answer<C>> {
    if (this.#failure) throw this.#failure;
    const id = ++this.#lastId;
    const line = `${JSON.stringify({ id, cmd: command, ...fields })}\n`;
    if (Buffer.byteLength(line) > MAX_LINE) {
      throw new MigrationError(
        "protocol",
        `the engine's command ${command} is longer than ${MAX_LINE} bytes`,
      );
    }
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, this.#timed({ command, resolve, reject }, id, options));
    });
    this.#control.write(line);
    const said = await answer;
    const checked = (await messages()).answers[command].safeParse(said);
    if (!checked.success) {
      throw new MigrationError(
        "protocol",
        `the engine's answer to ${command} cannot be read: ${checked.error.message}`,
      );
    }
    return checked.data as Answer<C>;
  }

  /** Our end, when `stream` was to be a pipe. */
  get stream(): Duplex | undefined {
    return this.#options.stream === "pipe" ? (this.#child.stdio[4] as Duplex) : undefined;
  }

  /** The event of this name, also one that came before the call. @throws MigrationError */
  async event<N extends EventName>(name: N, timeoutMs: number): Promise<EventOf<N>> {
    const seen = this.#seen[name];
    if (seen) return seen as EventOf<N>;
    const next = new Promise<EngineEvent>((resolve) => {
      const waiting = this.#waiting.get(name) ?? [];
      waiting.push(resolve);
      this.#waiting.set(name, waiting);
    });
    return (await within(
      timeoutMs,
      `waiting for the engine's "${name}"`,
      Promise.race([next, this.failed]),
    )) as EventOf<N>;
  }

  /** These will happen once more: a wait for them is for the next one. */
  forget(...names: readonly EventName[]): void {
    for (const name of names) delete this.#seen[name];
  }

  /** Ends the engine in any state: EOF on its control descriptor, then SIGKILL. Idempotent, never rejects. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#control.destroy();
    await within(DEATH_MS, "the engine's end", this.#exited).catch(() => {
      this.#child.kill("SIGKILL");
    });
    await within(DEATH_MS, "the engine's end", this.#exited).catch(() => undefined);
  }

  #timed(pending: Pending, id: number, options: RequestOptions): Pending {
    const expire = () => {
      this.#pending.delete(id);
      const what = options.restartOnProgress ? "moved nothing for" : "did not answer within";
      pending.reject(
        new MigrationError("timeout", `the engine ${what} ${options.timeoutMs} ms (${pending.command})`),
      );
    };
    let timer = setTimeout(expire, options.timeoutMs);
    const settle =
      <A>(then: (value: A) => void) =>
      (value: A) => {
        clearTimeout(timer);
        then(value);
      };
    return {
      command: pending.command,
      resolve: settle(pending.resolve),
      reject: settle(pending.reject),
      ...(options.restartOnProgress
        ? {
            restart: () => {
              clearTimeout(timer);
              timer = setTimeout(expire, options.timeoutMs);
            },
          }
        : {}),
    };
  }

  #receive(text: string): void {
    this.#buffer += text;
    if (this.#messages) {
      this.#read(this.#messages);
      return;
    }
    this.#loading ??= messages().then((loaded) => {
      this.#messages = loaded;
      this.#read(loaded);
    });
  }

  #read({ parseLine }: Messages): void {
    let end = this.#buffer.indexOf("\n");
    while (end >= 0) {
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
      if (line.length > MAX_LINE) break;
      this.#line(line, parseLine);
      end = this.#buffer.indexOf("\n");
    }
    if (this.#buffer.length > MAX_LINE) this.#garbled("a line is too long");
  }

  #line(text: string, parseLine: Messages["parseLine"]): void {
    if (this.#failure) return;
    let line: ReturnType<typeof parseLine>;
    try {
      line = parseLine(text);
    } catch (error) {
      this.#garbled(error instanceof Error ? error.message : String(error));
      return;
    }
    if (line.kind === "event") this.#event(line.event);
    if (line.kind !== "reply") return;
    const { reply } = line;
    const pending = this.#pending.get(reply.id);
    // Late answers of requests that timed out are of no use any more.
    if (!pending) return;
    this.#pending.delete(reply.id);
    if (reply.ok) pending.resolve(reply);
    else pending.reject(this.#refusal(reply.error));
  }

  #event(event: EngineEvent): void {
    this.#seen[event.event] = event;
    this.#notice(event);
    this.#options.onEvent?.(event);
    if (event.event === "error") this.#end(this.#refusal(event));
    if (event.event === "peer-lost") {
      this.#end(
        new MigrationError("peer-lost", event.message ?? "the data connection to the peer was lost", {
          remedy: "check the network between the two hosts, then migrate again",
        }),
      );
    }
    const waiting = this.#waiting.get(event.event) ?? [];
    this.#waiting.delete(event.event);
    for (const resolve of waiting) resolve(event);
  }

  /** Lets the clock of long requests start anew when bytes have moved since. */
  #notice(event: EngineEvent): void {
    const { event: _name, ...figures } = event;
    const progress = JSON.stringify(figures);
    if (progress === this.#progress) return;
    this.#progress = progress;
    for (const pending of this.#pending.values()) pending.restart?.();
  }

  #refusal(error: { code: string; message: string; remedy?: string | undefined }): MigrationError {
    return new MigrationError(error.code, error.message, error.remedy ? { remedy: error.remedy } : {});
  }

  #garbled(why: string): void {
    this.#end(new MigrationError("protocol", `the engine said what cannot be read: ${why}`));
    this.#child.kill("SIGKILL");
  }

  #death(how: string): MigrationError {
    const said = this.#closing ? "" : lastLines(this.#options.logFile);
    return new MigrationError("engine-failed", `the migration engine ended (${how})${said && `: ${said}`}`, {
      remedy: "the container is not harmed by this; see the engine's log",
    });
  }

  /** The first failure is the reason for all that follow. */
  #end(error: MigrationError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#fail(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.#waiting.clear();
  }
}

function messages(): Promise<Messages> {
  return import("./engine-messages.js");
}

function start(options: EngineOptions): ChildProcess {
  const log = openSync(options.logFile, "a", 0o600);
  try {
    const streams = options.stream === undefined ? [] : [options.stream];
    return spawn(options.binary, [options.role], {
      stdio: ["ignore", log, log, "pipe", ...streams],
      cwd: "/",
    });
  } finally {
    closeSync(log);
  }
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-STDERR_LINES).join(" | ");
  } catch {
    return "";
  }
}
