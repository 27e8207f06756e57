import type { Writable } from "node:stream";
import { Presets, SingleBar } from "cli-progress";

/** A running count on stderr. */
export interface Progress {
  /** Reports that `done` items are finished. */
  update(done: number): void;
  stop(): void;
}

export interface ProgressOptions {
  readonly title: string;
  readonly total?: number;
  /** Receives the display. */
  readonly stream: Writable;
  /** Whether `stream` is a terminal that nothing else writes to at the same time. */
  readonly interactive: boolean;
  /** How often plain lines are written, in seconds. */
  readonly plainIntervalSeconds?: number;
}

/** A bar with rate and time left on a terminal; a plain line every few seconds otherwise. */
export function startProgress(options: ProgressOptions): Progress {
  return options.interactive ? barProgress(options) : plainProgress(options);
}

function barProgress({ title, total, stream }: ProgressOptions): Progress {
  const counts = total === undefined ? "{value}" : "{bar} {value}/{total} · {eta_formatted} left";
  const bar = new SingleBar(
    {
      stream: stream as NodeJS.WritableStream,
      format: `${title} ${counts} · {rate}/s`,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 200,
    },
    Presets.shades_classic,
  );
  const started = performance.now();
  bar.start(total ?? 0, 0, { rate: "0" });
  return {
    update(done) {
      bar.update(done, { rate: ratePerSecond(done, started).toFixed(1) });
    },
    stop() {
      bar.stop();
    },
  };
}

function plainProgress({ title, total, stream, plainIntervalSeconds = 5 }: ProgressOptions): Progress {
  const started = performance.now();
  let lastLine = started;
  return {
    update(done) {
      const now = performance.now();
      if (now - lastLine < plainIntervalSeconds * 1000) return;
      lastLine = now;
      const rate = ratePerSecond(done, started);
      const left = total === undefined ? "" : `, ${Math.round((total - done) / rate)} s left`;
      stream.write(`${title}: ${done}${total === undefined ? "" : `/${total}`} (${rate.toFixed(1)}/s${left})\n`);
    },
    stop() {},
  };
}

function ratePerSecond(done: number, startedMs: number): number {
  return done / Math.max((performance.now() - startedMs) / 1000, 1e-3);
}
