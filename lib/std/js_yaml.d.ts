/** What crpe uses of `js-yaml`. */
export interface TypeOptions {
  kind: "mapping" | "scalar" | "sequence";
  /** Matches every tag that starts with the type's own. */
  multi?: boolean;
  resolve?: (data: unknown) => boolean;
  construct?: (data: unknown) => unknown;
}
export class Type {
  constructor(tag: string, options: TypeOptions);
}
export class Schema {
  extend(definition: { implicit?: Type[]; explicit?: Type[] }): Schema;
}
export const FAILSAFE_SCHEMA: Schema;
/** Is called at the start and the end of each node, with the parser's own state. */
export type Listener = (event: "open" | "close", state: { kind: string; position: number; result: unknown }) => void;
/** The parser's error. The line of its mark counts from 0. */
export class YAMLException extends Error {
  readonly mark?: { readonly line: number };
}
export interface LoadOptions {
  schema?: Schema;
  listener?: Listener;
}
export function loadAll(text: string, iterator: null, options?: LoadOptions): unknown[];
