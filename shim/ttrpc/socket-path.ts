import { Code, TtrpcError } from "./errors.js";

/** sun_path of sockaddr_un, without the final zero */
const MAX_PATH_BYTES = 107;

/**
 * Node cuts a path that is too long and goes on with another file than was meant.
 * @throws TtrpcError INVALID_ARGUMENT
 */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > 0 && bytes <= MAX_PATH_BYTES) return;
  throw new TtrpcError(
    Code.INVALID_ARGUMENT,
    `a unix socket's path has 1 to ${MAX_PATH_BYTES} bytes, not ${bytes}: ${path}`,
  );
}
