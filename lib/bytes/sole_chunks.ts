// Chunks whose memory only their reader uses.
const chunks = new WeakSet<Uint8Array>();

/** Marks a chunk that its reader shares with no other one. */
export function markSole(chunk: Uint8Array): void {
  chunks.add(chunk);
}

/**
 * Gives up the memory of a chunk that was marked, after which the chunk is empty. The runtime, if it has been given the
 * chunk, keeps the memory until it is sent. Otherwise the chunks of a large body are found by a collection of the whole
 * heap every few dozen of them, which costs as much CPU time as all else that is done for the body.
 */
export function freeSole(chunk: Uint8Array): void {
  if (chunks.delete(chunk)) (chunk.buffer as ArrayBuffer).transfer(0);
}
