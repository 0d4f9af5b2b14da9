/**
 * What a migration shows while it runs: one live line on a terminal, plain lines elsewhere,
 * JSON lines for programs.
 */
import { SingleBar } from "cli-progress";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs, formatRate } from "../format.js";

type Event = pclive.agent.v1.IMigrateEvent;

export interface Display {
  show(event: Event): void;
  end(): void;
}

/** One JSON object a line: every event as it came. */
export class JsonDisplay implements Display {
  constructor(private readonly out: NodeJS.WritableStream) {}
  show(event: Event): void {
    const plain = pclive.agent.v1.MigrateEvent.toObject(pclive.agent.v1.MigrateEvent.create(event), {
      longs: Number,
      arrays: true,
    });
    this.out.write(`${JSON.stringify(plain)}\n`);
  }
  end(): void {}
}

function describeRound(round: pclive.agent.v1.IRound): string {
  return [
    `round ${round.round ?? 0}: ${formatBytes(round.bytes ?? 0)} in ${formatMs(round.ms ?? 0)}`,
    `dirty rate ${formatRate(round.dirtyRate ?? 0)}`,
    `throughput ${formatRate(round.throughput ?? 0)}`,
    `predicted downtime ${formatMs(round.predictedDowntimeMs ?? 0)}`,
  ].join(", ");
}

/** A line for each phase and each finished round. */
export class LineDisplay implements Display {
  constructor(private readonly out: NodeJS.WritableStream) {}
  show(event: Event): void {
    if (event.phase)
      this.out.write(`${event.phase.name}${event.phase.detail ? `: ${event.phase.detail}` : ""}\n`);
    if (event.round) this.out.write(`${describeRound(event.round)}\n`);
  }
  end(): void {}
}

/** A bar that shows round, rates, prediction and the time that is left. */
export class BarDisplay implements Display {
  private readonly bar: SingleBar;
  private started = false;
  private readonly lines: LineDisplay;

  constructor(out: NodeJS.WriteStream) {
    this.lines = new LineDisplay(out);
    this.bar = new SingleBar({
      stream: out,
      format:
        " {phase} [{bar}] {sent}  dirty {dirty}  link {link}  predicted downtime {predicted}  ETA {left}",
      barsize: 20,
      hideCursor: true,
      clearOnComplete: true,
      noTTYOutput: false,
    });
  }

  show(event: Event): void {
    if (event.estimate) this.update(event.estimate);
    else if (event.round || event.phase) {
      this.pause();
      this.lines.show(event);
    }
  }

  end(): void {
    this.pause();
  }

  private update(estimate: pclive.agent.v1.IEstimate): void {
    if (!this.started) {
      this.bar.start(1000, 0, { phase: "", sent: "", dirty: "", link: "", predicted: "", left: "" });
      this.started = true;
    }
    const eta = estimate.etaMs ?? 0;
    const throughput = estimate.throughput ?? 0;
    const bytes = estimate.bytes ?? 0;
    const expected = bytes + (eta / 1000) * throughput;
    this.bar.update(expected > 0 ? Math.min(1000, Math.round((1000 * bytes) / expected)) : 0, {
      phase: `round ${estimate.round ?? 0}`,
      sent: formatBytes(bytes),
      dirty: formatRate(estimate.dirtyRate ?? 0),
      link: formatRate(throughput),
      predicted: formatMs(estimate.predictedDowntimeMs ?? 0),
      left: formatMs(eta),
    });
  }

  private pause(): void {
    if (!this.started) return;
    this.bar.stop();
    this.started = false;
  }
}

/** The display that suits the output. */
export function chooseDisplay(json: boolean, out: NodeJS.WriteStream): Display {
  if (json) return new JsonDisplay(out);
  return out.isTTY === true ? new BarDisplay(out) : new LineDisplay(out);
}
