/** Position numbers are made small again before they exceed 31 bits. */
const LARGEST_POSITION = 0x4000_0000;
/** The entries of empty tables, and of those that are reset, are farther away than any distance. */
export const OUT_OF_REACH = 65_536;

/**
 * Makes the positions of tables small again, if they are large. Those that are out of reach become as far away as those of
 * empty tables.
 *
 * @param shift what the tables hold is an index plus this
 * @returns the shift that they have now
 */
export function renumber(tables: readonly Int32Array[], shift: number): number {
  if (shift <= LARGEST_POSITION) return shift;
  const excess = shift - OUT_OF_REACH;
  for (const table of tables) {
    for (let i = 0; i < table.length; i++) table[i] = Math.max(0, table[i]! - excess);
  }
  return OUT_OF_REACH;
}
