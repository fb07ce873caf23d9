/** The part of `@std/semver` that crpe uses. */
export interface SemVer {
  major: number;
  minor: number;
  patch: number;
  prerelease?: (string | number)[];
  build?: string[];
}
export function parse(value: string): SemVer;
export function tryParse(value: string): SemVer | undefined;
export function compare(a: SemVer, b: SemVer): 1 | 0 | -1;
export function format(version: SemVer): string;
