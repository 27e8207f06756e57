import pc from "picocolors";

/** Numbers or short texts shown beside the count, such as `{ loss: 2.31 }`, in the order given. */
export type ProgressFields = Readonly<Record<string, number | string>>;

export interface ProgressOptions {
  /** What is being done, at the start of the line. */
  readonly label: string;
  /** How many units there are, if known: gives the bar and the time left. */
  readonly total?: number | undefined;
  /** The plural name of what is counted. Default "files". */
  readonly unit?: string;
  /** How many were done before, by an earlier session; they do not count for the rate. */
  readonly start?: number;
  /** Takes the bar off the terminal at the end, as suits a command whose result follows. Default false. */
  readonly transient?: boolean;
  /** Where to write; a terminal gets a bar, anything else plain lines. Default: standard error. */
  readonly stream?: ProgressStream;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly now?: () => number; // milliseconds
}

/** The part of a Node stream used here. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** One progress line. Cheap to update: a terminal is redrawn every 100 ms at most, a log gets a line every 5 s. */
export interface Progress {
  /** Says how many units are done in all, and optionally the fields, which stay until given anew. */
  update(done: number, fields?: ProgressFields): void;
  /** Says how many units there are, once that is known. */
  expect(total: number): void;
  /** Prints a message above the bar, for warnings on the way. */
  note(message: string): void;
  /** Draws the last state (in a log: if there was a line before) and ends the line. Later calls do nothing. */
  stop(): void;
}

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5000;
const RATE_WINDOW_MS = 30_000; // the rate is that of about the last half minute
const BAR_WIDTH = 24;

/** Starts reporting the progress of a long call on standard error; honours NO_COLOR and TERM=dumb. */
export function startProgress(options: ProgressOptions): Progress {
  const { label, total, unit = "files", start = 0, stream = process.stderr, now = () => performance.now() } = options;
  const environment = options.environment ?? process.env;
  const isTerminal = stream.isTTY === true && environment.TERM !== "dumb";
  const colors = pc.createColors(isTerminal && !environment.NO_COLOR);
  const interval = isTerminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS;
  const samples = [{ time: now(), done: start }];
  let state: ProgressState = { label, unit, total, done: start, rate: 0, fields: {} };
  let drawnAt = isTerminal ? Number.NEGATIVE_INFINITY : now(); // a short call leaves no lines in a log
  let drawnText = "";
  let stopped = false;

  const draw = () => {
    drawnAt = now();
    const text = formatProgress(state, isTerminal);
    drawnText = text;
    if (!isTerminal) return void stream.write(`${text}\n`);
    const fitting = text.slice(0, Math.max(20, (stream.columns ?? 80) - 1)); // a wrapped line could not be redrawn
    const bar = /[█░]+/.exec(fitting)?.[0];
    stream.write(`\r${bar ? fitting.replace(bar, colors.cyan(bar)) : fitting}\x1b[K`);
  };

  return {
    update(done, fields) {
      if (stopped) return;
      const time = now();
      if (time - samples[samples.length - 1].time >= BAR_INTERVAL_MS) samples.push({ time, done });
      while (samples.length > 2 && samples[1].time < time - RATE_WINDOW_MS) samples.shift();
      const [first] = samples;
      const rate = time > first.time ? ((done - first.done) * 1000) / (time - first.time) : 0;
      state = { ...state, done, rate, fields: fields ?? state.fields };
      if (time - drawnAt >= interval) draw();
    },
    expect(total) {
      state = { ...state, total };
    },
    note(message) {
      stream.write(isTerminal ? `\r\x1b[K${message}\n` : `${message}\n`);
      if (isTerminal && !stopped && drawnText) draw();
    },
    stop() {
      if (stopped) return;
      stopped = true;
      if (isTerminal && options.transient) return void stream.write("\r\x1b[K");
      if (isTerminal || (drawnText && formatProgress(state, false) !== drawnText)) draw();
      if (isTerminal) stream.write("\n");
    },
  };
}

/** What a progress line shows. `rate` is in units a second, 0 if not known yet. */
export interface ProgressState {
  readonly label: string;
  readonly unit: string;
  readonly total?: number | undefined;
  readonly done: number;
  readonly rate: number;
  readonly fields: ProgressFields;
}

/** The text of one progress line, with or without a bar. */
export function formatProgress({ label, unit, total, done, rate, fields }: ProgressState, withBar: boolean): string {
  const parts: string[] = [];
  if (total !== undefined && total > 0) {
    const share = Math.min(1, done / total);
    const filled = Math.floor(share * BAR_WIDTH);
    const bar = withBar ? `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ` : "";
    parts.push(`${label} ${bar}${String(Math.floor(share * 100)).padStart(3)}%`, `${done}/${total} ${unit}`);
  } else {
    parts.push(label, `${done} ${unit}`);
  }
  for (const [name, value] of Object.entries(fields)) {
    parts.push(`${name} ${typeof value === "number" ? formatNumber(value) : value}`);
  }
  if (rate > 0) parts.push(`${formatNumber(rate)} ${unit}/s`);
  if (rate > 0 && total !== undefined && done < total) parts.push(`${formatDuration((total - done) / rate)} left`);
  return parts.join("  ");
}

/** Seconds as people read them: `8s`, `3m 05s`, `2h 07m`, `3d 04h`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3600), Math.floor(whole / 86400)];
  if (minutes === 0) return `${whole}s`;
  if (hours === 0) return `${minutes}m ${two(whole % 60)}s`;
  if (days === 0) return `${hours}h ${two(minutes % 60)}m`;
  return `${days}d ${two(hours % 24)}h`;
}

/** A measured number in about four characters: 1234, 12.3, 0.123, 1.2e-5; whole numbers are left whole. */
function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return String(value);
  if (!Number.isFinite(value) || size >= 1e7 || size < 1e-3) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4);
}
