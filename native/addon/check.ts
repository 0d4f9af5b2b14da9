/** Checks of arguments: what reaches C++ has the right type and range. */

function integer(name: string, value: unknown, least: number, most: number): void {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new TypeError(`${name} must be an integer from ${least} to ${most}, not ${String(value)}`);
  }
}

export function checkFd(name: string, value: number): void {
  integer(name, value, 0, 2 ** 31 - 1);
}

export function checkPid(name: string, value: number): void {
  integer(name, value, 1, 2 ** 22);
}

export function checkSignal(name: string, value: number): void {
  integer(name, value, 0, 64);
}

export function checkUint16(name: string, value: number): void {
  integer(name, value, 0, 65535);
}

/** A string that C can hold: without a zero byte, which would cut it silently. */
export function checkText(name: string, value: string): void {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string, not ${typeof value}`);
  if (value.includes("\0")) throw new TypeError(`${name} must not contain a zero byte`);
}

export function checkAbsolute(name: string, value: string): void {
  checkText(name, value);
  if (!value.startsWith("/")) throw new TypeError(`${name} must be an absolute path, not '${value}'`);
}
