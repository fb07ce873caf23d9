/** Formats a number of bytes for people: `512 B`, `1.5 MiB`, `20 GiB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.round(value) < 1024) return `${formatNumber(value)} ${unit}`;
    value /= 1024;
  }
  return `${formatNumber(value)} TiB`;
}

/**
 * Says what space is missing, the same in all errors: `it needs 12 MiB in out, 8.5 MiB are free, 3.5 MiB are missing`.
 *
 * @param needed bytes
 * @param free bytes, fewer than are needed
 * @param folder where they are needed, unless that is clear
 */
export function describeShortage(needed: number, free: number, folder?: string): string {
  const where = folder === undefined ? "" : ` in ${folder}`;
  const [all, there, missing] = [needed, free, needed - free].map(formatSize);
  return `it needs ${all}${where}, ${there} are free, ${missing} are missing`;
}

function formatNumber(value: number): string {
  // One style for a number, whether it is exact or rounded: 8 MiB.
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, "");
}
