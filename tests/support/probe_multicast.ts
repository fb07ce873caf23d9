/**
 * Ends with status 0 when a datagram of multicast on the loopback interface is received.
 *
 * @module
 */
import { openMulticastSocket } from "../../lib/discovery/multicast_socket.ts";
import { QUERY } from "../../lib/discovery/announcement.ts";

const received = Promise.withResolvers<number>();
const socket = await openMulticastSocket("127.0.0.1", {
  admits: () => true,
  onMessage: () => received.resolve(0),
  onMalformed: () => {},
  onProblem: () => received.resolve(1),
});
// The group is joined in the background.
const timer = setInterval(() => socket.send(QUERY).catch(() => received.resolve(1)), 100);
const timeout = setTimeout(() => received.resolve(1), 10_000);
const status = await received.promise;
clearInterval(timer);
clearTimeout(timeout);
await socket.close();
Deno.exit(status);
