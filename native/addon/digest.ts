import { binding } from "./binding.js";

/** SHA-256 of a text (UTF-8), as 64 hex digits. */
export function sha256(text: string): string {
  return binding.sha256(text);
}
