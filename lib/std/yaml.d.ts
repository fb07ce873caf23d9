/** The part of `@std/yaml` that crpe uses. */
export interface ParseOptions {
  allowDuplicateKeys?: boolean;
  schema?: "core" | "default" | "extended" | "failsafe" | "json";
}
export function parse(content: string, options?: ParseOptions): unknown;
export function parseAll(content: string, options?: ParseOptions): unknown[];
export interface StringifyOptions {
  indent?: number;
  lineWidth?: number;
  schema?: "core" | "default" | "extended" | "failsafe" | "json";
  skipInvalid?: boolean;
  sortKeys?: boolean;
  useAnchors?: boolean;
  compatMode?: boolean;
}
export function stringify(data: unknown, options?: StringifyOptions): string;
