/**
 * Figures for people: always with a unit, three significant digits at most.
 */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes with a binary unit: 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** Bytes per second: "118 MiB/s". */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** Milliseconds: "0.4 ms", "87 ms", "3.2 s", "2 min 5 s". */
export function formatMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/**
 * Parses a duration such as "100ms", "1.5s", "10m", "2h".
 * @returns milliseconds, or undefined when the text is no duration
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|min|m|h)$/.exec(text.trim());
  if (match === null) return undefined;
  const unit = DURATION_UNITS[match[2] ?? ""];
  return unit === undefined ? undefined : Number(match[1]) * unit;
}

const SIZE_UNITS: Record<string, number> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

/**
 * Parses an amount of bytes such as "500M", "1Gi", "1000000".
 * @returns bytes, or undefined when the text is no size
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ki|mi|gi|k|m|g|)b?$/.exec(text.trim().toLowerCase());
  if (match === null) return undefined;
  const unit = SIZE_UNITS[match[2] ?? ""];
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit);
}
