// C0, DEL and C1; line and paragraph separators; bidirectional controls.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Escapes characters that a terminal would interpret, or that would make a text look like another one: ESC becomes
 * `\u001b`. Names in bundles, request paths and responses of registries are untrusted input.
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
