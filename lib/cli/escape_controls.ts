// C0, DEL, C1; the ends of lines and paragraphs; what changes the direction of writing.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Writes characters that a terminal would obey, or that would make a text look like another, as `\u001b`: names in
 * bundles, paths of requests and answers of registries are a stranger's choice.
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
