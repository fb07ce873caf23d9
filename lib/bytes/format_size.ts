/** Formats a number of bytes for people: `512 B`, `1.5 MiB`, `20 GiB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${formatNumber(value)} ${unit}`;
    value /= 1024;
  }
  return `${formatNumber(value)} TiB`;
}

function formatNumber(value: number): string {
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}
